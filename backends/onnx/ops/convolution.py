"""Convolutions and transposed convolutions of any rank."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from voxc.backends.onnx.builder import OnnxBuilder
from voxc.backends.onnx.lowering import Lowering

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


LOWERINGS: dict[object, Lowering] = {aten.convolution.default: convolution}
