"""Convolutions and transposed convolutions over one or two axes, channels first."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.lowering import Lowering
from voxc.backends.coreml.ops.weights import bias_of, weight_of
from voxc.backends.coreml.sdk import Var

aten = torch.ops.aten


def convolution(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, stride: list[int],
    padding: list[int], dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> Var:  # fmt: skip
    """Weights [O, I / groups, *K], or [I, O / groups, *K] if transposed: as MIL has them."""
    axes = x.meta["val"].dim() - 2
    kernel = weight_of(build, weight)
    stride, padding, dilation = (list(each) * axes if len(each) < axes else list(each)
                                 for each in (stride, padding, dilation))  # fmt: skip
    given: dict[str, Any] = {
        "x": build.operand(x),
        "weight": kernel,
        "strides": stride,
        "dilations": dilation,
        "groups": groups,
        "bias": bias_of(build, bias),
    }
    if transposed:
        return deconvolve(build, given, padding, output_padding)
    return build.op("conv", **given, **padded([(pad, pad) for pad in padding]))


def padded(pads: list[tuple[int, int]]) -> dict[str, Any]:
    if not any(map(any, pads)):
        return {"pad_type": "valid"}
    return {"pad_type": "custom", "pad": [size for pair in pads for size in pair]}


def deconvolve(build: CoreMLBuilder, given: dict[str, Any], padding: list[int], output_padding: list[int]) -> Var:
    """What ATen's output padding adds at the end is what the padding has cut off there, as far as that goes; beyond it
    lies what a further zero of x would give."""
    extra = [*output_padding, *[0] * (len(padding) - len(output_padding))]
    pads = [(pad, max(0, pad - more)) for pad, more in zip(padding, extra, strict=True)]
    if all(more <= pad for pad, more in zip(padding, extra, strict=True)):
        return build.op("conv_transpose", **given, **padded(pads))
    x = given["x"]
    reach = [int(more > pad) for pad, more in zip(padding, extra, strict=True)]
    given["x"] = build.pad(x, [(0, 0), (0, 0), *((0, size) for size in reach)])
    whole = build.op("conv_transpose", **given, **padded(pads))
    for axis, size in enumerate(build.shape[2:], start=2):
        whole = build.slice(whole, axis, 0, size)
    return whole


LOWERINGS: dict[object, Lowering] = {aten.convolution.default: convolution}
