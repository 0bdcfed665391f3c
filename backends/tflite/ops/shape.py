"""Operators that move, select and repeat elements. Integers that stand for real numbers stay integers in them."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.layout import inverse, to_end, without
from voxc.backends.lowering.padding import crops_and_pads
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.tflite.builder import TfliteBuilder
from voxc.backends.tflite.file import Value
from voxc.backends.tflite.integers import InIntegers

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
    used = build.used_results
    begins = np.cumsum([0, *sizes]).tolist()
    return [part(build, value, dim, begins[place], size) if place in used else None for place, size in enumerate(sizes)]


def pad(build: TfliteBuilder, node: fx.Node, x: fx.Node, padding: list[int], filler: float) -> Value:
    value = build.value(x) if not filler else build.real(x)
    crops, pads = crops_and_pads(padding, len(value.shape))
    kept = [size - sum(crop) for size, crop in zip(value.shape, crops, strict=True)]
    cropped = build.slice(value, [before for before, _ in crops], kept)
    return build.pad(cropped, pads, filler)


def embedding(build: TfliteBuilder, node: fx.Node, table: fx.Node, indices: fx.Node, *_: object) -> Value:
    return build.op("GATHER", build.real(table), build.value(indices), axis=0, batchDims=0)


def gather(build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int, indices: fx.Node, sparse_grad: bool) -> Value:
    """Along the last axis, each row by its own indices."""
    source, places = build.value(x), build.value(indices)
    rank = len(source.shape)
    dim %= rank
    if without(source.shape, dim) != without(places.shape, dim):
        raise build.refuse("the indices cover only a part of x")
    order = to_end(dim, rank)
    rows, wanted = build.transpose(source, order), build.transpose(places, order)
    found = build.op("GATHER", rows, wanted, shape=wanted.shape, like=rows, axis=rank - 1, batchDims=rank - 1)
    return build.transpose(found, inverse(order))


LOWERINGS: Lowerings = {
    aten.view.default: view,
    aten.permute.default: permute,
    aten.unsqueeze.default: unsqueeze,
    aten.squeeze.dims: squeeze,
    aten.expand.default: expand,
    aten.slice.Tensor: slice_,
    aten.select.int: select,
    aten.flip.default: flip,
    aten.cat.default: InIntegers(cat),
    aten.split_with_sizes.default: split,
    aten.constant_pad_nd.default: pad,
    aten.embedding.default: embedding,
    aten.gather.default: gather,
}
