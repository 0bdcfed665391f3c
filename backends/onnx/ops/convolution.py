"""Convolutions and transposed convolutions of any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from voxc.backends.lowering.convolution import Geometry
from voxc.backends.lowering.layout import to_channels_first, to_channels_last
from voxc.backends.lowering.table import Lowerings
from voxc.backends.onnx.builder import OnnxBuilder

aten = torch.ops.aten


def convolution(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, *arguments: Any
) -> str:
    """Weights [O, I / groups, *K], or [I, O / groups, *K] if transposed: as ONNX has them."""
    taps = weight.meta["val"].shape[2:]
    return convolve(build, x, weight, bias, taps, Geometry.of(len(taps), *arguments))


def conv_channels_last(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, *arguments: Any
) -> str:
    """ONNX has channels first only: x [B, *S, C] and weight [O, *K, C / groups] are turned, and the output back."""
    taps = weight.meta["val"].shape[1:-1]
    geometry = Geometry.of(len(taps), *arguments)
    if geometry.transposed and geometry.groups > 1:
        raise build.refuse("a transposed convolution in groups, with channels last")
    rank = len(taps) + 2
    first = to_channels_first(rank)
    kernel = build.op("Transpose", weight, perm=[rank - 1, 0, *first[2:]] if geometry.transposed else first)
    turned = build.op("Transpose", x, perm=first)
    result = convolve(build, turned, kernel, bias, taps, geometry)
    return build.op("Transpose", result, perm=to_channels_last(rank))


def convolve(
    build: OnnxBuilder, x: object, kernel: object, bias: object, taps: Sequence[int], geometry: Geometry
) -> str:
    """ATen gives padding once for both ends of an axis, ONNX all beginnings and then all ends."""
    attributes: dict[str, Any] = {
        "kernel_shape": list(taps),
        "strides": geometry.stride,
        "pads": geometry.padding * 2,
        "dilations": geometry.dilation,
        "group": geometry.groups,
    }
    if geometry.transposed and any(geometry.output_padding):
        attributes["output_padding"] = geometry.output_padding
    return build.op("ConvTranspose" if geometry.transposed else "Conv", x, kernel, bias, **attributes)


LOWERINGS: Lowerings = {
    aten.convolution.default: convolution,
    torch.ops.voxc.conv_channels_last.default: conv_channels_last,
}
