"""Convolutions and transposed convolutions over one or two axes, channels first or last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx

from voxc.backends.lowering.convolution import Geometry, convolutions
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.ops.matrix import project
from voxc.backends.mlx.statements import Call, Value

TIME = 2


def channels_last(
    build: MlxBuilder, x: Value, weight: Weight, bias: fx.Node | None, geometry: Geometry, shape: Sequence[int]
) -> Value:
    """x [B, *S, I], weight [O, *K, I / groups]; gives `shape` [B, *S', O]."""
    if is_pointwise(weight, geometry) and (bias is None or build.constant_of(bias) is not None):
        return project(build, x, weight.reshape((weight.shape[0], -1)), build.constant_of(bias))
    added = None if bias is None else build.value(bias)
    if geometry.transposed:
        return deconvolve(build, x, weight, added, geometry, shape)
    if is_along_time(x, weight, geometry, shape):
        return convolve_interleaved(build, x, weight, added, geometry, shape)
    options = {"stride": geometry.stride, "padding": geometry.padding, "dilation": geometry.dilation}
    return convolve(build, "conv", x, weight, added, options, geometry.groups, shape)


def is_pointwise(weight: Weight, geometry: Geometry) -> bool:
    one = geometry.groups == 1 and set(weight.shape[1:-1]) == {1}
    return one and not geometry.transposed and set(geometry.stride) == {1} and not any(geometry.padding)


def convolve(
    build: MlxBuilder, name: str, x: Value, weight: Weight, bias: Value | None, options: dict[str, Any], groups: int,
    shape: Sequence[int],
) -> Value:  # fmt: skip
    """`name`, conv or conv_transpose, over as many axes as there are; a bias is added in the same line."""
    rank = len(weight.shape) - 2
    plain = {"padding": 0, "output_padding": 0}
    said = {key: value if rank > 1 else value[0] for key, value in options.items() if set(value) != {plain.get(key, 1)}}
    call = Call(f"mx.{name}{rank}d", (x, kernel_of(build, weight)), said | ({"groups": groups} if groups > 1 else {}))
    if bias is not None:
        call = Call("+", (call, bias))
    return build.result(call, shape, stem="conv")


def kernel_of(build: MlxBuilder, weight: Weight) -> Value:
    """In the file; where the plan has few bits for it in groups along all that one output adds up."""
    packed = build.pack(weight.reshape((weight.shape[0], -1)))
    if packed is None:
        return build.store(weight)
    options = {"group_size": packed.group_size, "bits": packed.bits}
    flat = Call("mx.dequantize", (packed.integers, packed.scales, packed.offsets), options)
    return build.call("mx.reshape", flat, weight.shape, shape=weight.shape, stem="kernel")


def is_along_time(x: Value, weight: Weight, geometry: Geometry, shape: Sequence[int]) -> bool:
    """Whether a dilated kernel keeps the length of its one row, x [B, 1, T, I]."""
    if len(x.shape) != 4 or x.shape[1] != 1 or geometry.groups != 1 or weight.shape[1] != 1:
        return False
    reach = geometry.dilation[1] * (weight.shape[2] - 1)
    return (
        geometry.dilation[1] > 1 and geometry.stride[1] == 1 and geometry.padding == (0, reach // 2) and not reach % 2
    )


def convolve_interleaved(
    build: MlxBuilder, x: Value, weight: Weight, bias: Value | None, geometry: Geometry, shape: Sequence[int]
) -> Value:
    """A dilation of d along time is none at all between every d-th sample: [B, 1, T, I] seen as [B, T / d, d, I].

    Costs a view, and zeros behind where d does not divide T. MLX's CPU kernels are three to five times as fast without
    dilation; those of Metal do not mind either.
    """
    batch, _, time, width = x.shape
    step = geometry.dilation[1]
    rows = -(-time // step)
    padded = build.pad(x, [(0, 0), (0, 0), (0, rows * step - time), (0, 0)])
    view = build.reshape(padded, (batch, rows, step, width))
    upright = weight.transpose(0, 2, 1, 3)
    options = {"padding": (geometry.padding[1] // step, 0)}
    result = convolve(build, "conv", view, upright, bias, options, 1, (batch, rows, step, shape[-1]))
    return build.slice(build.reshape(result, (batch, 1, rows * step, shape[-1])), TIME, slice(time))


def deconvolve(
    build: MlxBuilder, x: Value, weight: Weight, bias: Value | None, geometry: Geometry, shape: Sequence[int]
) -> Value:
    """MLX wants some of each input to reach the output: padding beyond the kernel's reach is cut off afterwards."""
    reach = [step * (taps - 1) for step, taps in zip(geometry.dilation, weight.shape[1:-1], strict=True)]
    excess = [max(0, padding - most) for padding, most in zip(geometry.padding, reach, strict=True)]
    options = {
        "stride": geometry.stride,
        "padding": tuple(padding - over for padding, over in zip(geometry.padding, excess, strict=True)),
        "dilation": geometry.dilation,
        "output_padding": geometry.output_padding,
    }
    whole = (shape[0], *(size + 2 * over for size, over in zip(shape[1:-1], excess, strict=True)), shape[-1])
    result = convolve(build, "conv_transpose", x, weight, bias, options, geometry.groups, whole)
    for axis, over in enumerate(excess, 1):
        if over:
            result = build.slice(result, axis, slice(over, over + shape[axis]))
    return result


LOWERINGS: Lowerings = convolutions(channels_last)
