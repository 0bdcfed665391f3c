"""Operators that sum up axes or rank what is along them."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.onnx.builder import OnnxBuilder

aten = torch.ops.aten
FIRST_AXES_INPUT = {"ReduceSum": 13, "ReduceMax": 18, "ReduceMean": 18, "ReduceMin": 18}


def reduction(op_type: str) -> Lowering:
    """The axes became an input of these operators, each at another opset; no axes at all means every axis."""

    def lower(
        build: OnnxBuilder, node: fx.Node, x: fx.Node, axes: list[int] | None, keep: bool = False, dtype: object = None
    ) -> str:
        value = build.operand(x, node.meta["val"].dtype)
        return reduce(build, op_type, value, axes or list(range(x.meta["val"].dim())), keep=keep)

    return lower


def reduce(build: OnnxBuilder, op_type: str, value: str, axes: list[int], *, keep: bool) -> str:
    if build.opset >= FIRST_AXES_INPUT[op_type]:
        return build.op(op_type, value, build.sizes(axes), keepdims=int(keep))
    return build.op(op_type, value, axes=axes, keepdims=int(keep))


def topk(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, count: int, axis: int, largest: bool, in_order: bool
) -> list[str]:
    """Values and their places; in order always, for which the caller cannot be sorry. The smallest are the largest of
    the negated, where a reader only has those."""
    number = build.sizes([count])
    if largest or build.dialect.smallest:
        return build.op("TopK", x, number, outputs=2, axis=axis, largest=int(largest), sorted=1)
    values, places = build.op("TopK", build.op("Neg", x), number, outputs=2, axis=axis, largest=1, sorted=1)
    return [build.op("Neg", values), places]


LOWERINGS: Lowerings = {
    aten.amax.default: reduction("ReduceMax"),
    aten.amin.default: reduction("ReduceMin"),
    aten.mean.dim: reduction("ReduceMean"),
    aten.sum.dim_IntList: reduction("ReduceSum"),
    aten.topk.default: topk,
}
