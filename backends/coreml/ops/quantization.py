"""Integers that stand for real numbers: pairs of quantize and dequantize, which Core ML fuses with what is between.

A zero point of zero is left out, as runtimes look for it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.quantization import dequantize_channels
from voxc.backends.lowering.table import Lowerings

voxc = torch.ops.voxc
INTEGERS = {torch.int8: np.int8, torch.uint8: np.uint8}


def quantize(build: CoreMLBuilder, node: fx.Node, x: fx.Node, scale: float, zero_point: int, dtype: torch.dtype) -> Var:
    zero = INTEGERS[dtype](zero_point) if zero_point else None
    return build.op(
        "quantize", input=build.operand(x), scale=build.scalar(scale), zero_point=zero,
        output_dtype=INTEGERS[dtype].__name__,
    )  # fmt: skip


def dequantize(build: CoreMLBuilder, node: fx.Node, x: fx.Node, scale: float, zero_point: int) -> Var:
    zero = INTEGERS[x.meta["val"].dtype](zero_point) if zero_point else None
    return build.op("dequantize", input=build.operand(x), scale=build.scalar(scale), zero_point=zero)


LOWERINGS: Lowerings = {
    voxc.quantize.default: quantize,
    voxc.dequantize.default: dequantize,
    voxc.dequantize_channels.default: dequantize_channels,
}
