"""Convolutions and transposed convolutions of any rank."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from voxc.backends.onnx.builder import OnnxBuilder
from voxc.backends.onnx.lowering import Lowering
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators

aten = torch.ops.aten


def convolution(
    build: OnnxBuilder,
    node: fx.Node,
    x: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> str:
    """ATen gives padding once for both ends of an axis, ONNX all beginnings and then all ends."""
    attributes: dict[str, Any] = {
        "kernel_shape": list(weight.meta["val"].shape[2:]),
        "strides": list(stride),
        "pads": [*padding, *padding],
        "dilations": list(dilation),
        "group": groups,
    }
    if transposed and any(output_padding):
        attributes["output_padding"] = list(output_padding)
    return build.op("ConvTranspose" if transposed else "Conv", x, weight, bias, **attributes)


def channels_last(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, stride: list[int],
    padding: list[int], dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> str:  # fmt: skip
    """ONNX has channels first only: x [B, *S, C] and weight [O, *K, C / groups] are turned, and the output back."""
    rank = x.meta["val"].dim()
    if transposed and groups > 1:
        raise build.refuse("a transposed convolution in groups, with channels last")
    space = range(1, rank - 1)
    attributes: dict[str, Any] = {
        "kernel_shape": list(weight.meta["val"].shape[1:-1]),
        "strides": list(stride),
        "pads": [*padding, *padding],
        "dilations": list(dilation),
        "group": groups,
    }
    if transposed and any(output_padding):
        attributes["output_padding"] = list(output_padding)
    kernel = build.op("Transpose", weight, perm=[rank - 1, 0, *space] if transposed else [0, rank - 1, *space])
    turned = build.op("Transpose", x, perm=[0, rank - 1, *space])
    result = build.op("ConvTranspose" if transposed else "Conv", turned, kernel, bias, **attributes)
    return build.op("Transpose", result, perm=[0, *range(2, rank), 1])


LOWERINGS: dict[object, Lowering] = {
    aten.convolution.default: convolution,
    torch.ops.voxc.conv_channels_last.default: channels_last,
}
