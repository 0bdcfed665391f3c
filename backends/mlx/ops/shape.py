"""Operators that move, select and repeat elements."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.layout import without
from voxc.backends.lowering.padding import crops_and_pads
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.statements import INDEX, Call, Value

aten = torch.ops.aten


def reshaped(build: MlxBuilder, node: fx.Node, x: fx.Node, *_: object) -> Value | Weight:
    """A view, and axes of size 1 that come and go."""
    weight = build.constant_of(x)
    if weight is not None:
        return weight.reshape(build.shape)
    return build.reshape(build.value(x), build.shape)


def permute(build: MlxBuilder, node: fx.Node, x: fx.Node, order: list[int]) -> Value | Weight:
    order = [axis % len(order) for axis in order]
    weight = build.constant_of(x)
    if weight is not None:
        return weight.transpose(*order)
    return build.transpose(build.value(x), order)


def expand(build: MlxBuilder, node: fx.Node, x: fx.Node, shape: list[int], implicit: bool) -> Value:
    value = build.value(x)
    return value if value.shape == build.shape else build.call("mx.broadcast_to", value, build.shape)


def slice_(
    build: MlxBuilder, node: fx.Node, x: fx.Node, dim: int, start: int | None, end: int | None, step: int
) -> Value:
    value = build.value(x)
    size = value.shape[dim]
    begin, stop, _ = slice(start, end).indices(size)
    part = slice(begin or None, None if stop == size else stop, None if step == 1 else step)
    return build.slice(value, dim, part)


def select(build: MlxBuilder, node: fx.Node, x: fx.Node, dim: int, index: int) -> Value:
    value = build.value(x)
    dim %= len(value.shape)
    return build.call(INDEX, value, *[slice(None)] * dim, index)


def flip(build: MlxBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> Value:
    value = build.value(x)
    for dim in dims:
        value = build.slice(value, dim, slice(None, None, -1))
    return value


def cat(build: MlxBuilder, node: fx.Node, parts: list[fx.Node], dim: int) -> Value:
    return build.call("mx.concatenate", [build.value(part, build.dtype) for part in parts], axis=dim % len(build.shape))


def split(build: MlxBuilder, node: fx.Node, x: fx.Node, sizes: list[int], dim: int) -> list[Value | None]:
    """One operation where all parts are used, else the slices that are."""
    value = build.value(x)
    dim %= len(value.shape)
    ends = np.cumsum(sizes).tolist()
    used = build.used_results
    if len(used) == len(sizes):
        shapes = [(*value.shape[:dim], size, *value.shape[dim + 1 :]) for size in sizes]
        call = Call("mx.split", (value, ends[:-1]), {"axis": dim})
        return list(build.state(call, [(shape, value.dtype) for shape in shapes]))
    parts = [slice(end - size or None, end) for size, end in zip(sizes, ends, strict=True)]
    return [build.slice(value, dim, part) if place in used else None for place, part in enumerate(parts)]


def pad(build: MlxBuilder, node: fx.Node, x: fx.Node, padding: list[int], filler: float) -> Value:
    value = build.value(x)
    crops, pads = crops_and_pads(padding, len(value.shape))
    for axis, (before, after) in enumerate(crops):
        value = build.slice(value, axis, slice(before or None, -after or None))
    return build.pad(value, pads, filler or 0.0)


def embedding(build: MlxBuilder, node: fx.Node, table: fx.Node, indices: fx.Node, *_: object) -> Value:
    return build.call("mx.take", build.value(table), build.value(indices), axis=0)


def gather(build: MlxBuilder, node: fx.Node, x: fx.Node, dim: int, indices: fx.Node, sparse_grad: bool) -> Value:
    """Along one axis, each row by its own indices."""
    source, places = build.value(x), build.value(indices)
    dim %= len(source.shape)
    if without(source.shape, dim) != without(places.shape, dim):
        raise build.refuse("the indices cover only a part of x")
    return build.call("mx.take_along_axis", source, places, axis=dim)


LOWERINGS: Lowerings = {
    aten.view.default: reshaped,
    aten.unsqueeze.default: reshaped,
    aten.squeeze.dims: reshaped,
    aten.permute.default: permute,
    aten.expand.default: expand,
    aten.slice.Tensor: slice_,
    aten.select.int: select,
    aten.flip.default: flip,
    aten.cat.default: cat,
    aten.split_with_sizes.default: split,
    aten.constant_pad_nd.default: pad,
    aten.embedding.default: embedding,
    aten.gather.default: gather,
}
