"""Integers and floats: QuantizeLinear and DequantizeLinear, which runtimes fuse with what is between them."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.table import Lowerings
from voxc.backends.onnx.builder import OnnxBuilder, Packed
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators

voxc = torch.ops.voxc
INTEGERS = {torch.int8: np.int8, torch.uint8: np.uint8, torch.int32: np.int32}


def quantize(build: OnnxBuilder, node: fx.Node, x: fx.Node, scale: float, zero_point: int, dtype: torch.dtype) -> str:
    return build.op("QuantizeLinear", x, *parameters(build, scale, zero_point, dtype))


def dequantize(build: OnnxBuilder, node: fx.Node, x: fx.Node, scale: float, zero_point: int) -> str:
    return build.op("DequantizeLinear", x, *parameters(build, scale, zero_point, x.meta["val"].dtype))


def dequantize_channels(build: OnnxBuilder, node: fx.Node, x: fx.Node, scale: fx.Node, axis: int) -> str:
    """Runtimes look for a zero point also where it is zero."""
    given = x.meta["val"]
    zeros = build.constant(np.zeros(given.shape[axis], INTEGERS[given.dtype]))
    stored = build.weights.get(build.value(x))
    if stored is None or (build.dialect.integer_weights and not build.dialect.packed_weights):
        return build.op("DequantizeLinear", x, scale, zeros, axis=axis)
    steps = build.weights[build.value(scale)]
    packed = Packed(stored, steps.reshape([-1 if place == axis else 1 for place in range(stored.ndim)]))
    named = f"{build.value(x)}_float"
    build.weights[named] = packed.floats
    if given.dtype is not torch.int8:
        return named  # a bias
    if build.dialect.packed_weights:
        build.packed[named] = packed
        return named
    rounded = build.op("QuantizeLinear", named, scale, zeros, axis=axis)
    return build.op("DequantizeLinear", rounded, scale, zeros, axis=axis)


def parameters(build: OnnxBuilder, scale: float, zero_point: int, dtype: torch.dtype) -> tuple[str, str]:
    return build.scalar(scale, torch.float32), build.scalar(zero_point, dtype)


LOWERINGS: Lowerings = {
    voxc.quantize.default: quantize,
    voxc.dequantize.default: dequantize,
    voxc.dequantize_channels.default: dequantize_channels,
}
