"""Operators that sum up axes or rank what is along them."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.layout import inverse, to_end
from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.tflite.builder import TfliteBuilder
from voxc.backends.tflite.file import Value

aten = torch.ops.aten


def reduction(code: str) -> Lowering:
    """No axes at all means every axis."""

    def lower(
        build: TfliteBuilder, node: fx.Node, x: fx.Node, axes: list[int] | None, keep: bool = False, _: object = None
    ) -> Value:
        value = build.operand(x, node.meta["val"].dtype)
        rank = len(value.shape)
        axes = [axis % rank for axis in axes or range(rank)]
        return build.op(code, value, build.integers(axes), keepDims=keep)

    return lower


def topk(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, count: int, axis: int, largest: bool, in_order: bool
) -> list[Value]:
    """Values and their places, in order always. TFLite knows the largest of the last axis alone."""
    value = build.real(x)
    order = to_end(axis, len(value.shape))
    rows = build.transpose(value, order)
    if not largest:
        rows = build.op("NEG", rows, shape=rows.shape, like=rows)
    shape = (*rows.shape[:-1], count)
    wanted = build.file.constant(np.array(count, np.int32))
    values, places = build.several("TOPK_V2", rows, wanted, outputs=[(shape, rows.dtype), (shape, "int32")])
    if not largest:
        values = build.op("NEG", values, shape=shape, like=values)
    return [build.transpose(found, inverse(order)) for found in (values, places)]


LOWERINGS: Lowerings = {
    aten.amax.default: reduction("REDUCE_MAX"),
    aten.amin.default: reduction("REDUCE_MIN"),
    aten.mean.dim: reduction("MEAN"),
    aten.sum.dim_IntList: reduction("SUM"),
    aten.topk.default: topk,
}
