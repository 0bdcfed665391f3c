"""Integers that stand for real numbers, and weights that are stored smaller than they are used."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.quantization import dequantize_channels
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.tflite.builder import MOST_INT8, TfliteBuilder, name_of
from voxc.backends.tflite.file import Quantization, Value

aten = torch.ops.aten
voxc = torch.ops.voxc


def quantize(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, scale: float, zero_point: int, dtype: torch.dtype
) -> Value:
    """Nothing where x is there as the very integers; constants are rounded now."""
    if dtype != torch.int8:
        raise build.refuse(f"activations in {dtype}; TFLite's kernels take int8")
    quantization = Quantization((scale,), zero_point)
    weight = build.constant_of(x)
    if weight is not None and weight.array.dtype == "float32":
        rounded = voxc.quantize(torch.from_numpy(weight.array), scale, zero_point, dtype)
        return build.file.constant(rounded.numpy(), f"{weight.name}/int8", quantization)
    return build.requantize(build.value(x), quantization)


def dequantize(build: TfliteBuilder, node: fx.Node, x: fx.Node, scale: float, zero_point: int) -> Value:
    """The integers themselves: whoever needs real numbers asks for them. A scale other than the one that x was
    quantized with multiplies it."""
    weight = build.constant_of(x)
    if weight is not None:
        return build.file.constant(weight.array, weight.name, Quantization((scale,), zero_point))
    value = build.value(x)
    wanted = Quantization((scale,), zero_point)
    if value.quantization == wanted:
        return value
    if value.quantization is None and value.dtype == "int8":
        return build.file.stand_for(value, wanted)  # an input
    if value.quantization is None or value.quantization.zero_point != zero_point:
        raise build.refuse(f"scale {scale:g} and zero {zero_point} are not what {x.name} was quantized with")
    # The same integers stand for multiples of what they stood for: a product with that number leaves them as they are.
    factor = scale / value.quantization.scale[0]
    number = build.file.constant(np.array(MOST_INT8, np.int8), quantization=Quantization((factor / MOST_INT8,)))
    return build.op("MUL", value, number, dtype="int8", quantization=wanted)


def cast(build: TfliteBuilder, node: fx.Node, x: fx.Node, *_: object) -> Value | Weight:
    """Weights stored in float16 stay so until they are used."""
    wanted = name_of(node.meta["val"].dtype)
    weight = build.constant_of(x)
    if weight is not None and (weight.array.dtype.name, wanted) == ("float16", "float32"):
        return weight
    value = build.real(x)
    return value if value.dtype == wanted else build.op("CAST", value)


LOWERINGS: Lowerings = {
    voxc.quantize.default: quantize,
    voxc.dequantize.default: dequantize,
    voxc.dequantize_channels.default: dequantize_channels,
    aten._to_copy.default: cast,
}
