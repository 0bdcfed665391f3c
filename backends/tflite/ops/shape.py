"""Operators that move, select and repeat elements. Integers that stand for real numbers stay integers in them."""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import fx

from voxc.backends.tflite.builder import TfliteBuilder, Weight
from voxc.backends.tflite.file import Value
from voxc.backends.tflite.lowering import Lowering

aten = torch.ops.aten


def view(build: TfliteBuilder, node: fx.Node, x: fx.Node, shape: list[int]) -> Value:
    return build.reshape(build.value(x), build.shape)


def unsqueeze(build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int) -> Value | Weight:
    weight = build.constant_of(x)
    return build.reshape(build.value(x), build.shape) if weight is None else weight.expand(dim % len(build.shape))


def squeeze(build: TfliteBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> Value:
    return build.reshape(build.value(x), build.shape)


def permute(build: TfliteBuilder, node: fx.Node, x: fx.Node, order: list[int]) -> Value | Weight:
    order = [axis % len(order) for axis in order]
    weight = build.constant_of(x)
    return build.transpose(build.value(x), order) if weight is None else weight.transpose(*order)


def expand(build: TfliteBuilder, node: fx.Node, x: fx.Node, shape: list[int], implicit: bool) -> Value:
    value = build.value(x)
    if value.shape == build.shape:
        return value
    return build.op("BROADCAST_TO", value, build.integers(build.shape), like=value)


def slice_(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int, start: int | None, end: int | None, step: int
) -> Value:
    value = build.value(x)
    begins, ends = [0] * len(value.shape), list(value.shape)
    begins[dim], ends[dim], _ = slice(start, end).indices(value.shape[dim])
    if step == 1:
        return build.slice(value, begins, build.shape)
    steps = [1] * len(value.shape)
    steps[dim] = step
    return build.op("STRIDED_SLICE", value, *map(build.integers, (begins, ends, steps)), like=value)


def select(build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int, index: int) -> Value:
    value = build.value(x)
    return build.reshape(part(build, value, dim, index % value.shape[dim], 1), build.shape)


def part(build: TfliteBuilder, value: Value, dim: int, begin: int, size: int) -> Value:
    """`size` indices of one axis."""
    begins, shape = [0] * len(value.shape), list(value.shape)
    begins[dim], shape[dim] = begin, size
    return build.slice(value, begins, shape)


def flip(build: TfliteBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> Value:
    """An axis at a time, which is all that old kernels do."""
    value = build.value(x)
    for dim in dims:
        value = build.op("REVERSE_V2", value, build.integers([dim % len(value.shape)]), like=value)
    return value


def cat(build: TfliteBuilder, node: fx.Node, parts: list[fx.Node], dim: int) -> Value:
    """Parts of different quantization are brought to that of the result, or become real numbers."""
    values = [build.value(each) for each in parts]
    common = values[0].quantization
    if build.result is not None:
        common = build.result
        values = [build.requantize(value, common) for value in values]
    elif any(value.quantization != common for value in values):
        common = None
    if common is None:
        values = [build.as_float(value) for value in values]
    return build.op("CONCATENATION", *values, like=values[0], axis=dim % len(build.shape))


def split(build: TfliteBuilder, node: fx.Node, x: fx.Node, sizes: list[int], dim: int) -> list[Value | None]:
    """Slices, of what is used: every delegate has those."""
    value = build.value(x)
    used = {user.args[1] for user in node.users}
    begins = np.cumsum([0, *sizes]).tolist()
    return [part(build, value, dim, begins[place], size) if place in used else None for place, size in enumerate(sizes)]


def getitem(build: TfliteBuilder, node: fx.Node, source: fx.Node, index: int) -> Value:
    return build.values[source][index]


def pad(build: TfliteBuilder, node: fx.Node, x: fx.Node, padding: list[int], filler: float) -> Value:
    """ATen pads pairs from the last axis and may crop (negative pads)."""
    value = build.value(x) if not filler else build.real(x)
    rank, count = len(value.shape), len(padding) // 2
    pads = [(0, 0)] * (rank - count) + [(padding[2 * pair], padding[2 * pair + 1]) for pair in reversed(range(count))]
    begins = [max(0, -before) for before, _ in pads]
    kept = [size - begin - max(0, -after) for size, begin, (_, after) in zip(value.shape, begins, pads, strict=True)]
    cropped = build.slice(value, begins, kept)
    return build.pad(cropped, [(max(0, before), max(0, after)) for before, after in pads], filler)


def embedding(build: TfliteBuilder, node: fx.Node, table: fx.Node, indices: fx.Node, *_: object) -> Value:
    return build.op("GATHER", build.real(table), build.value(indices), axis=0, batchDims=0)


def gather(build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int, indices: fx.Node, sparse_grad: bool) -> Value:
    """Along the last axis, each row by its own indices."""
    source, places = build.value(x), build.value(indices)
    rank = len(source.shape)
    dim %= rank
    if source.shape[:dim] + source.shape[dim + 1 :] != places.shape[:dim] + places.shape[dim + 1 :]:
        raise build.refuse("the indices cover only a part of x")
    order = [axis for axis in range(rank) if axis != dim] + [dim]
    rows, wanted = build.transpose(source, order), build.transpose(places, order)
    found = build.op("GATHER", rows, wanted, shape=wanted.shape, like=rows, axis=rank - 1, batchDims=rank - 1)
    return build.transpose(found, np.argsort(order).tolist())


LOWERINGS: dict[object, Lowering] = {
    aten.view.default: Lowering(view),
    aten.permute.default: Lowering(permute),
    aten.unsqueeze.default: Lowering(unsqueeze),
    aten.squeeze.dims: Lowering(squeeze),
    aten.expand.default: Lowering(expand),
    aten.slice.Tensor: Lowering(slice_),
    aten.select.int: Lowering(select),
    aten.flip.default: Lowering(flip),
    aten.cat.default: Lowering(cat, integers=True),
    aten.split_with_sizes.default: Lowering(split),
    operator.getitem: Lowering(getitem),
    aten.constant_pad_nd.default: Lowering(pad),
    aten.embedding.default: Lowering(embedding),
    aten.gather.default: Lowering(gather),
}
