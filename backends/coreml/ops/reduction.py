"""Operators that sum up axes or rank what is along them."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.table import Lowering, Lowerings

aten = torch.ops.aten

REDUCTIONS = {
    aten.mean.dim: "reduce_mean",
    aten.sum.dim_IntList: "reduce_sum",
    aten.amax.default: "reduce_max",
    aten.amin.default: "reduce_min",
}


def reduction(kind: str) -> Lowering:
    """No axes at all means every axis."""

    def lower(
        build: CoreMLBuilder, node: fx.Node, x: fx.Node, axes: list[int] | None, keep: bool = False, _: object = None
    ) -> Var:
        value = build.operand(x, node.meta["val"].dtype)
        over = [axis % value.rank for axis in axes or range(value.rank)]
        return build.op(kind, x=value, axes=over, keep_dims=keep)

    return lower


def topk(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, count: int, axis: int, largest: bool, in_order: bool
) -> list[Var]:
    """Values and their places, in order always."""
    value = build.operand(x)
    found = build.op("topk", x=value, k=count, axis=axis % value.rank, ascending=not largest)
    return list(found)


LOWERINGS: Lowerings = {
    **{target: reduction(kind) for target, kind in REDUCTIONS.items()},
    aten.topk.default: topk,
}
