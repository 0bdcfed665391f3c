"""Convolutions and transposed convolutions over one or two axes, channels first or last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from voxc.backends.tflite.builder import TfliteBuilder, Weight
from voxc.backends.tflite.file import Quantization, Value
from voxc.backends.tflite.lowering import Lowering

aten = torch.ops.aten
voxc = torch.ops.voxc

#: Padding in the schema: zeros so that the result has as many strides as the input, or none.
SAME, VALID = 0, 1
SPACE = slice(1, 3)


@dataclass(frozen=True)
class Geometry:
    """How a kernel walks over [height, width]."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int

    @classmethod
    def of(
        cls, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], output_padding: Sequence[int],
        groups: int,
    ) -> Geometry:  # fmt: skip
        """Of ATen's arguments; one axis of space is the width."""

        def both(values: Sequence[int], fill: int) -> tuple[int, ...]:
            return tuple([fill, *values][-2:])

        return cls(both(stride, 1), both(padding, 0), both(dilation, 1), both(output_padding, 0), groups)


def convolution(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, stride: list[int],
    padding: list[int], dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> Value:  # fmt: skip
    """Channels first: between two transpositions. Weights [O, I / groups, *K], or [I, O / groups, *K] if transposed."""
    kernel = weight_of(build, weight)
    rank = len(kernel.shape)
    if transposed and groups == 1:
        kernel = kernel.transpose(1, *range(2, rank), 0)
    else:
        kernel = kernel.transpose(0, *range(2, rank), 1)
    value = build.operand(x)
    turned = build.transpose(value, (0, *range(2, rank), 1))
    geometry = Geometry.of(stride, padding, dilation, output_padding, groups)
    shape = (build.shape[0], *build.shape[2:], build.shape[1])
    result = channels_last(build, turned, kernel, bias, geometry, transposed, shape)
    return build.transpose(result, (0, rank - 1, *range(1, rank - 1)))


def conv_channels_last(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, stride: list[int],
    padding: list[int], dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> Value:  # fmt: skip
    geometry = Geometry.of(stride, padding, dilation, output_padding, groups)
    kernel = weight_of(build, weight)
    return channels_last(build, build.operand(x), kernel, bias, geometry, transposed, build.shape)


def weight_of(build: TfliteBuilder, node: fx.Node) -> Weight:
    weight = build.constant_of(node)
    if weight is None:
        raise build.refuse(f"the weights {node.name} are computed; TFLite wants constants")
    if len(weight.shape) not in (3, 4):
        raise build.refuse(f"weights of rank {len(weight.shape)}; TFLite has convolutions over one or two axes")
    return weight


def channels_last(
    build: TfliteBuilder, x: Value, weight: Weight, bias: fx.Node | None, geometry: Geometry, transposed: bool,
    shape: Sequence[int],
) -> Value:  # fmt: skip
    """x [B, *S, I], weight [O, *K, I / groups]; gives `shape` [B, *S', O]. One axis of space gets a height of 1."""
    flat = len(weight.shape) == 3
    if flat:
        x = build.reshape(x, (x.shape[0], 1, *x.shape[1:]))
        weight = weight.expand(1)
    full = (shape[0], 1, *shape[1:]) if flat else tuple(shape)
    result = (deconvolve if transposed else convolve)(build, x, weight, bias, geometry, full)
    return build.reshape(result, shape)


def convolve(
    build: TfliteBuilder, x: Value, weight: Weight, bias: fx.Node | None, geometry: Geometry, shape: Sequence[int]
) -> Value:
    channels = x.shape[-1]
    depthwise = geometry.groups == channels and channels > 1
    if depthwise:
        weight = weight.transpose(3, 1, 2, 0)
    kernel = store_weight(build, weight, hybrid=not depthwise)
    options = step_options(geometry)
    padding = VALID
    if pads_as_same(x.shape[SPACE], weight.shape[SPACE], geometry):
        padding = SAME
    else:
        x = build.pad(x, [(0, 0), *((pad, pad) for pad in geometry.padding), (0, 0)])
    for axis, name in enumerate("HW"):
        options[f"dilation{name}Factor"] = geometry.dilation[axis]
    if depthwise:
        options["depthMultiplier"] = shape[-1] // channels
    code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    return build.op(code, x, kernel, bias_of(build, bias, x, kernel), shape=shape, padding=padding, **options)


def deconvolve(
    build: TfliteBuilder, x: Value, weight: Weight, bias: fx.Node | None, geometry: Geometry, shape: Sequence[int]
) -> Value:
    """Whole, and then cut to size, unless TFLite's own way of cutting is the same."""
    if geometry.groups != 1 or geometry.dilation != (1, 1):
        raise build.refuse("TFLite has no transposed convolution with groups or dilation; use another target")
    sizes, space, kernel = x.shape[SPACE], shape[SPACE], weight.shape[SPACE]
    missing = [max(0, out - pad) for out, pad in zip(geometry.output_padding, geometry.padding, strict=True)]
    stored = store_weight(build, weight, hybrid=False)
    options = step_options(geometry)
    if cuts_as_same(sizes, space, kernel, geometry):
        whole, padding = tuple(shape), SAME
    else:
        x = build.pad(x, [(0, 0), *((0, int(size > 0)) for size in missing), (0, 0)])
        reach = zip(x.shape[SPACE], geometry.stride, kernel, strict=True)
        whole = (shape[0], *((size - 1) * stride + taps for size, stride, taps in reach), shape[-1])
        padding = VALID
    given = build.op(
        "TRANSPOSE_CONV", build.integers(whole), stored, x, bias_of(build, bias, x, stored), shape=whole,
        padding=padding, **options,
    )  # fmt: skip
    return build.slice(given, (0, *geometry.padding, 0), shape) if padding == VALID else given


def step_options(geometry: Geometry) -> dict[str, Any]:
    return {"strideH": geometry.stride[0], "strideW": geometry.stride[1]}


def pads_as_same(sizes: Sequence[int], kernel: Sequence[int], geometry: Geometry) -> bool:
    """Whether TFLite's SAME puts as many zeros at both ends of each axis as asked for (and some at all)."""
    rows = zip(sizes, kernel, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    return any(geometry.padding) and all(same_padding(*row) for row in rows)


def same_padding(size: int, taps: int, stride: int, padding: int, dilation: int) -> bool:
    reach = dilation * (taps - 1)
    steps = -(-size // stride)
    asked = (size + 2 * padding - reach - 1) // stride + 1
    total = max(0, (steps - 1) * stride + reach + 1 - size)
    # What lies beyond the last step's reach is never read, so only the zeros in front have to agree.
    return steps == asked and total // 2 == padding


def cuts_as_same(sizes: Sequence[int], space: Sequence[int], kernel: Sequence[int], geometry: Geometry) -> bool:
    """Whether TFLite's SAME cuts off as much at the front of each axis as asked for."""
    rows = zip(sizes, space, kernel, geometry.stride, geometry.padding, strict=True)
    return all(
        -(-out // stride) == size and max(0, (size - 1) * stride + taps - out) // 2 == padding
        for size, out, taps, stride, padding in rows
    )


def store_weight(build: TfliteBuilder, weight: Weight, hybrid: bool = True) -> Value:
    """In the file; as real numbers where neither activations are integers nor the kernel takes both (`hybrid`)."""
    value = build.store(weight)
    return value if value.quantization is not None and (build.result or hybrid) else build.as_float(value)


def bias_of(build: TfliteBuilder, node: fx.Node | None, x: Value, weight: Value) -> Value:
    """A bias, zeros where there is none; in integers where the computation is, on the scale of the products."""
    axis = weight.quantization.axis if weight.quantization else 0
    given = None if node is None else build.constant_of(node)
    if node is not None and given is None:
        raise build.refuse(f"the bias {node.name} is computed; TFLite wants a constant")
    outputs = weight.shape[axis]
    array = np.zeros(outputs, np.float32) if given is None else given.array
    if given is not None and given.scale is not None and build.result is None:
        array = array.astype(np.float32) * given.scale
    if build.result is None:
        name = None if given is None else given.name
        return build.as_float(build.file.constant(array, name))
    assert x.quantization is not None
    assert weight.quantization is not None
    scale = np.float32(x.quantization.scale[0]) * np.array(weight.quantization.scale, np.float32)
    if array.dtype != np.int32:
        limits = np.iinfo(np.int32)
        array = np.clip(np.rint(array.astype(np.float64) / scale), limits.min, limits.max).astype(np.int32)
    elif given is not None and given.scale is not None and not np.allclose(given.scale, scale, rtol=1e-5):
        raise build.refuse(f"the bias {given.name} is not on the scale of the products")
    return build.file.constant(array, given.name if given else None, Quantization(tuple(scale.tolist())))


LOWERINGS: dict[object, Lowering] = {
    aten.convolution.default: Lowering(convolution, integers=True, weights=True),
    voxc.conv_channels_last.default: Lowering(conv_channels_last, integers=True, weights=True),
}
