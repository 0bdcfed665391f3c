"""Convolutions and transposed convolutions over one or two axes, channels first or last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from voxc.backends.lowering.convolution import Geometry, convolutions
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.tflite.builder import TfliteBuilder
from voxc.backends.tflite.file import Quantization, Value
from voxc.backends.tflite.integers import InIntegers

#: Padding in the schema: zeros so that the result has as many strides as the input, or none.
SAME, VALID = 0, 1
SPACE = slice(1, 3)


def channels_last(
    build: TfliteBuilder, x: Value, weight: Weight, bias: fx.Node | None, geometry: Geometry, shape: Sequence[int]
) -> Value:
    """x [B, *S, I], weight [O, *K, I / groups]; gives `shape` [B, *S', O]. One axis of space gets a height of 1."""
    full = tuple(shape)
    if len(weight.shape) == 3:
        x = build.reshape(x, (x.shape[0], 1, *x.shape[1:]))
        weight, geometry = weight.expand(1), geometry.planar()
        full = (shape[0], 1, *shape[1:])
    result = (deconvolve if geometry.transposed else convolve)(build, x, weight, bias, geometry, full)
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
    return build.op(
        code, x, kernel, bias_of(build, bias, x, kernel, shape[-1]), shape=shape, padding=padding, **options
    )


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
        "TRANSPOSE_CONV", build.integers(whole), stored, x, bias_of(build, bias, x, stored, shape[-1]), shape=whole,
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


def bias_of(build: TfliteBuilder, node: fx.Node | None, x: Value, weight: Value, outputs: int) -> Value:
    """A bias, zeros where there is none; in integers where the computation is, on the scale of the products."""
    given = None if node is None else build.constant_of(node)
    if node is not None and given is None:
        raise build.refuse(f"the bias {node.name} is computed; TFLite wants a constant")
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


LOWERINGS: Lowerings = {
    target: InIntegers(lowering, weights=True) for target, lowering in convolutions(channels_last).items()
}
