"""Integers that stand for real numbers, computed in floats: any float target reproduces what they round to.

A quantized weight becomes the float weight that it stands for. A quantized activation is rounded and held to the range
of its integers, and stays a float.
"""

from __future__ import annotations

import torch
from onnx import TensorProto
from torch import Tensor

from voxc.compiler.families.generic.onnx.call import Call, Function, Row
from voxc.compiler.families.generic.onnx.tensors import LIMITS

ROUNDED = "activations that the file has in integers are rounded to them in floats"
INTEGER_LIMITS = {
    torch.int8: LIMITS[TensorProto.INT8],
    torch.uint8: LIMITS[TensorProto.UINT8],
    torch.int16: LIMITS[TensorProto.INT16],
    torch.int32: LIMITS[TensorProto.UINT16],
}


def along(call: Call, tensor: Tensor, axis: int) -> Tensor:
    """A scale or a zero point as it broadcasts over the first input: one number, or one for each index of an axis.

    One that has as many elements along the axis as there are blocks is repeated in each block.
    """
    tensor = tensor.to(torch.float32)
    if tensor.numel() == 1:
        return tensor.reshape(())
    if tensor.dim() == 1:
        return tensor.reshape([-1 if place == axis else 1 for place in range(call.rank())])
    block = call.attribute("block_size", 0)
    if not block:
        raise call.refuse(f"a scale of shape {list(tensor.shape)} needs a block_size")
    return tensor.repeat_interleave(block, axis).narrow(axis, 0, call.shape()[axis])


def scale_and_zero(call: Call) -> tuple[Tensor | float, Tensor | float]:
    axis = call.axis(call.attribute("axis", 1)) if call.rank() > 1 or call.attribute("axis", 1) < 1 else 0
    scale = along(call, call.static(1, "scale"), axis)
    zero = along(call, call.static(2, "zero point"), axis) if call.has(2) else torch.zeros(())
    return simple(scale), simple(zero)


def simple(tensor: Tensor) -> Tensor | float:
    return float(tensor) if tensor.dim() == 0 else tensor


def limits(call: Call) -> tuple[int, int]:
    if call.has(2):
        kind = call.dtype(2)
        if kind not in INTEGER_LIMITS:
            raise call.refuse(f"quantizes to {kind}, which is not supported")
        return INTEGER_LIMITS[kind]
    kind = call.attribute("output_dtype", 0) or TensorProto.UINT8
    if kind not in LIMITS:
        raise call.refuse(f"quantizes to {TensorProto.DataType.Name(kind)}, which is not supported")
    return LIMITS[kind]


def quantize(call: Call) -> Function:
    low, high = limits(call)
    scale, zero = scale_and_zero(call)
    if not call.folds:
        call.warnings.append(ROUNDED)

    def run(x: Tensor, *_: object) -> Tensor:
        rounded = torch.round(x / scale)
        return torch.clamp(rounded if isinstance(zero, float) and not zero else rounded + zero, low, high)

    return run


def dequantize(call: Call) -> Function:
    scale, zero = scale_and_zero(call)

    def run(x: Tensor, *_: object) -> Tensor:
        x = x.to(torch.float32)
        return (x if isinstance(zero, float) and not zero else x - zero) * scale

    return run


ROWS: dict[str, Row] = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}
#: ONNX Runtime's own operators of the same names take 16 bits too.
MICROSOFT_ROWS: dict[str, Row] = dict(ROWS)
