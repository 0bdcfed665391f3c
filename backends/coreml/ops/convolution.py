"""Convolutions and transposed convolutions over one or two axes, channels first."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.ops.weights import bias_of, weight_of
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.convolution import Geometry
from voxc.backends.lowering.table import Lowerings

aten = torch.ops.aten


def convolution(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, *arguments: Any
) -> Var:
    """Weights [O, I / groups, *K], or [I, O / groups, *K] if transposed: as MIL has them."""
    geometry = Geometry.of(x.meta["val"].dim() - 2, *arguments)
    kernel = weight_of(build, weight)
    inputs: dict[str, Any] = {
        "x": build.operand(x),
        "weight": kernel,
        "strides": list(geometry.stride),
        "dilations": list(geometry.dilation),
        "groups": geometry.groups,
        "bias": bias_of(build, bias),
    }
    if geometry.transposed:
        return deconvolve(build, inputs, geometry)
    return build.op("conv", **inputs, **padded([(pad, pad) for pad in geometry.padding]))


def padded(pads: list[tuple[int, int]]) -> dict[str, Any]:
    if not any(map(any, pads)):
        return {"pad_type": "valid"}
    return {"pad_type": "custom", "pad": [size for pair in pads for size in pair]}


def deconvolve(build: CoreMLBuilder, inputs: dict[str, Any], geometry: Geometry) -> Var:
    """What ATen's output padding adds at the end is what the padding has cut off there, as far as that goes; beyond it
    lies what a further zero of x would give."""
    rows = list(zip(geometry.padding, geometry.output_padding, strict=True))
    pads = [(pad, max(0, pad - more)) for pad, more in rows]
    reach = [int(more > pad) for pad, more in rows]
    if not any(reach):
        return build.op("conv_transpose", **inputs, **padded(pads))
    inputs["x"] = build.pad(inputs["x"], [(0, 0), (0, 0), *((0, size) for size in reach)])
    whole = build.op("conv_transpose", **inputs, **padded(pads))
    for axis, size in enumerate(build.shape[2:], start=2):
        whole = build.slice(whole, axis, 0, size)
    return whole


LOWERINGS: Lowerings = {aten.convolution.default: convolution}
