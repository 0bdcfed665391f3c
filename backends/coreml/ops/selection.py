"""Operators that take a part of what they are given."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.layout import without
from voxc.backends.lowering.table import Lowerings

aten = torch.ops.aten


def slice_(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, dim: int, start: int | None, end: int | None, step: int
) -> Var:
    value = build.operand(x)
    dim %= value.rank
    begin, stop, _ = slice(start, end).indices(value.shape[dim])
    return build.slice(value, dim, begin, stop, step)


def select(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dim: int, index: int) -> Var:
    value = build.operand(x)
    dim %= value.rank
    begin = index % value.shape[dim]
    return build.slice(value, dim, begin, begin + 1, squeeze=True)


def split(build: CoreMLBuilder, node: fx.Node, x: fx.Node, sizes: list[int], dim: int) -> list[Var | None]:
    """One operator where all parts are used, else slices of those that are."""
    value = build.operand(x)
    dim %= value.rank
    used = build.used_results
    if len(used) == len(sizes) > 1:
        return list(build.op("split", x=value, split_sizes=[int(size) for size in sizes], axis=dim))
    begins = np.cumsum([0, *sizes]).tolist()
    return [
        build.slice(value, dim, begins[place], begins[place] + size) if place in used else None
        for place, size in enumerate(sizes)
    ]


def embedding(build: CoreMLBuilder, node: fx.Node, table: fx.Node, indices: fx.Node, *_: object) -> Var:
    return build.op(
        "gather", x=build.operand(table), indices=build.operand(indices), axis=0, batch_dims=0, validate_indices=False
    )


def gather(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dim: int, indices: fx.Node, sparse_grad: bool) -> Var:
    value, places = build.operand(x), build.operand(indices)
    dim %= value.rank
    if without(value.shape, dim) != without(places.shape, dim):
        raise build.refuse("the indices cover only a part of x")
    return build.op("gather_along_axis", x=value, indices=places, axis=dim, validate_indices=False)


def index(build: CoreMLBuilder, node: fx.Node, x: fx.Node, indices: list[fx.Node | None]) -> Var:
    """Indices of one axis."""
    axes = [axis for axis, each in enumerate(indices) if each is not None]
    places = indices[axes[0]]
    if len(axes) != 1 or places is None or places.meta["val"].dtype == torch.bool:
        raise build.refuse("only one axis can be indexed at once, and by integers")
    return build.op(
        "gather", x=build.operand(x), indices=build.operand(places), axis=axes[0], batch_dims=0, validate_indices=False
    )


LOWERINGS: Lowerings = {
    aten.slice.Tensor: slice_,
    aten.select.int: select,
    aten.split_with_sizes.default: split,
    aten.embedding.default: embedding,
    aten.gather.default: gather,
    aten.index.Tensor: index,
}
