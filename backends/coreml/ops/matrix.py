"""Matrix products, softmax and sums along an axis."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.ops.weights import bias_of, weight_of
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.layout import swaps_last_two
from voxc.backends.lowering.table import Lowerings

aten = torch.ops.aten
voxc = torch.ops.voxc

#: Ranks of the left operand that MIL's linear takes.
MOST_LINEAR_RANK = 3


def linear(build: CoreMLBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None) -> Var:
    """A product with weights [O, I]."""
    constant = build.constant_of(weight)
    added = None if bias is None else build.constant_of(bias)
    if constant is None or (bias is not None and added is None) or x.meta["val"].dim() > MOST_LINEAR_RANK:
        given = weight_of(build, weight)
        product = build.op("matmul", x=build.operand(x), y=given, transpose_y=True)
        return product if bias is None else build.op("add", x=product, y=build.operand(bias))
    return build.op("linear", x=build.operand(x), weight=weight_of(build, constant), bias=bias_of(build, bias))


def mm(build: CoreMLBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Var:
    return product(build, left, right, None)


def addmm(
    build: CoreMLBuilder, node: fx.Node, bias: fx.Node, left: fx.Node, right: fx.Node, beta: float, alpha: float
) -> Var:
    if (alpha, beta) != (1, 1):
        raise build.refuse(f"alpha={alpha}, beta={beta}")
    return product(build, left, right, bias)


def product(build: CoreMLBuilder, left: fx.Node, right: fx.Node, bias: fx.Node | None) -> Var:
    """A product with weights [I, O], which MIL wants as [O, I]; any other product, and a sum."""
    weight = build.constant_of(right)
    added = None if bias is None else build.constant_of(bias)
    if weight is None or (bias is not None and (added is None or len(added.shape) != 1)):
        whole = matmul(build, build.node, left, right)
        return whole if bias is None else build.op("add", x=whole, y=build.operand(bias))
    kernel = weight_of(build, weight.transpose(1, 0))
    return build.op("linear", x=build.operand(left), weight=kernel, bias=bias_of(build, bias))


def matmul(build: CoreMLBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Var:
    """Operands of rank 2 and more, turned around by the operator itself where the graph does that for it alone."""
    (x, turned_x), (y, turned_y) = (source_of(build, each) for each in (left, right))
    given = [weight_of(build, each) if each is y and build.constant_of(each) else build.operand(each)
             for each in (x, y)]  # fmt: skip
    return build.op("matmul", x=given[0], y=given[1], transpose_x=turned_x, transpose_y=turned_y)


def source_of(build: CoreMLBuilder, node: fx.Node) -> tuple[fx.Node, bool]:
    """What an exchange of the last two axes is of, and whether `node` is one."""
    if node.target is not aten.permute.default or build.constant_of(node) is not None or not swaps_last_two(node):
        return node, False
    return node.args[0], True  # type: ignore[return-value]


def matmul_channels(build: CoreMLBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Var:
    return build.op("einsum", values=(build.operand(left), build.operand(right)), equation="nchw,nwhu->nchu")


def softmax(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> Var:
    return build.op("softmax", x=build.operand(x), axis=dim % len(build.shape))


def cumsum(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dim: int, dtype: object) -> Var:
    value = build.operand(x, node.meta["val"].dtype)
    return build.op("cumsum", x=value, axis=dim % len(build.shape), exclusive=False, reverse=False)


LOWERINGS: Lowerings = {
    aten.linear.default: linear,
    aten.mm.default: mm,
    aten.addmm.default: addmm,
    aten.bmm.default: matmul,
    aten.matmul.default: matmul,
    voxc.matmul_channels.default: matmul_channels,
    aten._softmax.default: softmax,
    aten.cumsum.default: cumsum,
}
