"""Matrix products. Constant weights are stored as the product wants them, in the plan's bits where it names some."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.statements import Call, Dtype, Value
from voxc.backends.mlx.weights import Packed

aten = torch.ops.aten

WIDE = "float32"


def project(build: MlxBuilder, x: Value, weight: Weight, bias: Weight | None) -> Value:
    """x [..., I] times weights [..., O, I], and a bias. In groups they are stored like this, else as [..., I, O]."""
    shape = (*x.shape[:-1], weight.shape[-2])
    packed = build.pack(weight)
    if packed is not None:
        return project_packed(build, x, packed, bias, shape)
    matrix = build.store(turned(weight))
    added = None if bias is None else build.store(bias)
    if added is not None and len(matrix.shape) == 2:
        return build.call("mx.addmm", added, x, matrix, shape=shape)
    product = Call("@", (x, matrix))
    return build.result(product if added is None else Call("+", (product, added)), shape)


def turned(weight: Weight) -> Weight:
    """Its matrices transposed."""
    rank = len(weight.shape)
    return weight.transpose(*range(rank - 2), rank - 1, rank - 2)


def project_packed(build: MlxBuilder, x: Value, packed: Packed, bias: Weight | None, shape: Sequence[int]) -> Value:
    """The product itself in float32, whatever comes and goes: MLX's kernel for CPUs adds up in the type that it is
    given, and takes forty times as long for float16."""
    scales, offsets = (Call(".astype", (each, Dtype(WIDE))) for each in (packed.scales, packed.offsets))
    options = {"group_size": packed.group_size, "bits": packed.bits}
    call = Call("mx.quantized_matmul", (build.cast(x, WIDE), packed.integers, scales, offsets), options)
    if bias is not None:
        call = Call("+", (call, build.store(bias, WIDE)))
    return build.cast(build.result(call, shape, WIDE), build.dtype)


def matmul(build: MlxBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Value:
    weight = build.constant_of(right)
    if weight is None:
        return build.call("@", build.value(left), build.value(right))
    return project(build, build.value(left), turned(weight), None)


def addmm(
    build: MlxBuilder, node: fx.Node, bias: fx.Node, left: fx.Node, right: fx.Node, beta: float, alpha: float
) -> Value:
    if (alpha, beta) != (1, 1):
        raise build.refuse(f"alpha={alpha}, beta={beta}")
    weight, added = build.constant_of(right), build.constant_of(bias)
    if weight is None or added is None:
        return build.call("mx.addmm", build.value(bias), build.value(left), build.value(right))
    return project(build, build.value(left), turned(weight), added)


LOWERINGS: Lowerings = {
    aten.bmm.default: matmul,
    aten.mm.default: matmul,
    aten.addmm.default: addmm,
}
