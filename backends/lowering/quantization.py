"""Weights that are stored as integers."""

from __future__ import annotations

from typing import Any

from torch import fx

from voxc.backends.lowering.static import StaticBuilder
from voxc.backends.lowering.weight import Weight


def dequantize_channels(build: StaticBuilder[Any], node: fx.Node, x: fx.Node, scale: fx.Node, axis: int) -> Weight:
    """A weight or bias with its scales; the layer that takes it stores it."""
    weight, scales = build.constant_of(x), build.constant_of(scale)
    if weight is None or scales is None:
        raise build.refuse("only constants can have a scale for each channel")
    return Weight(weight.name, weight.array, scales.array, axis % len(weight.shape))
