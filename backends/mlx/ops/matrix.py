"""Matrix products. Constant weights are stored as the product wants them, in the plan's bits where it names some."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.lowering import Lowering
from voxc.backends.mlx.statements import Call, Value
from voxc.backends.mlx.weights import Weight

aten = torch.ops.aten


def project(build: MlxBuilder, x: Value, weight: Weight, bias: Value | None) -> Value:
    """x [..., I] times weights [..., O, I], and a bias. In groups they are stored like this, else as [..., I, O]."""
    packed = build.pack(weight)
    if packed is not None:
        options = {"group_size": packed.group_size, "bits": packed.bits}
        product = Call("mx.quantized_matmul", (x, packed.integers, packed.scales, packed.offsets), options)
    else:
        turned = build.store(Weight(weight.name, weight.array.swapaxes(-1, -2)))
        if bias is not None and len(turned.shape) == 2:
            return build.call("mx.addmm", bias, x, turned)
        product = Call("@", (x, turned))
    return build.result(product if bias is None else Call("+", (product, bias)))


def matmul(build: MlxBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Value:
    weight = build.constant_of(right)
    if weight is None:
        return build.call("@", build.value(left), build.value(right))
    return project(build, build.value(left), Weight(weight.name, weight.array.swapaxes(-1, -2)), None)


def addmm(
    build: MlxBuilder, node: fx.Node, bias: fx.Node, left: fx.Node, right: fx.Node, beta: float, alpha: float
) -> Value:
    if (alpha, beta) != (1, 1):
        raise build.refuse(f"alpha={alpha}, beta={beta}")
    weight, added = build.constant_of(right), build.value(bias)
    if weight is None:
        return build.call("mx.addmm", added, build.value(left), build.value(right))
    return project(build, build.value(left), Weight(weight.name, weight.array.swapaxes(-1, -2)), added)


LOWERINGS: dict[object, Lowering] = {
    aten.bmm.default: matmul,
    aten.mm.default: matmul,
    aten.addmm.default: addmm,
}
