"""Tensors of ONNX files as PyTorch has them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.onnx.file import read_external

#: Bits of an element, and the type that PyTorch gets; small and unsigned integers get a wider type.
TYPES: dict[int, tuple[int, torch.dtype]] = {
    TensorProto.FLOAT: (32, torch.float32),
    TensorProto.DOUBLE: (64, torch.float64),
    TensorProto.FLOAT16: (16, torch.float16),
    TensorProto.BFLOAT16: (16, torch.bfloat16),
    TensorProto.INT4: (4, torch.int8),
    TensorProto.UINT4: (4, torch.uint8),
    TensorProto.INT8: (8, torch.int8),
    TensorProto.UINT8: (8, torch.uint8),
    TensorProto.INT16: (16, torch.int16),
    TensorProto.UINT16: (16, torch.int32),
    TensorProto.INT32: (32, torch.int32),
    TensorProto.UINT32: (32, torch.int64),
    TensorProto.INT64: (64, torch.int64),
    TensorProto.UINT64: (64, torch.int64),
    TensorProto.BOOL: (8, torch.bool),
}
#: Elements that one number of the typed fields holds, where that is not one.
TYPED_FIELDS = {
    TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data", TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data", TensorProto.UINT64: "uint64_data",
}  # fmt: skip
#: The least and the largest value of the integers that QuantizeLinear gives.
LIMITS: dict[int, tuple[int, int]] = {
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-(1 << 15), (1 << 15) - 1),
    TensorProto.UINT16: (0, (1 << 16) - 1),
}


def type_name(data_type: int) -> str:
    return str(TensorProto.DataType.Name(data_type)) if data_type in TensorProto.DataType.values() else str(data_type)


def torch_type(data_type: int, where: str) -> torch.dtype:
    """Raises CheckpointError for types that have no place in a network here."""
    if data_type not in TYPES:
        raise CheckpointError(f"{where}: tensors of type {type_name(data_type)} are not supported")
    return TYPES[data_type][1]


def read_tensor(tensor: Any, path: Path) -> Tensor:
    """The tensor that a TensorProto holds; what it claims is compared with the bytes that are there.

    Raises:
        CheckpointError: the bytes are missing or too many, or the type is not supported.
    """
    where = f"{path}: tensor {tensor.name or '(unnamed)'}"
    dtype = torch_type(tensor.data_type, where)
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise CheckpointError(f"{where}: has shape {list(shape)}")
    bits, count = TYPES[tensor.data_type][0], math.prod(shape)
    size = -(-count * bits // 8)
    if tensor.data_location == TensorProto.EXTERNAL:
        plain = TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=read_external(path, tensor, size))
    else:
        plain = tensor
        check_size(tensor, where, count, size)
    array = numpy_helper.to_array(plain)
    if tensor.data_type == TensorProto.UINT64 and (array > np.iinfo(np.int64).max).any():
        raise CheckpointError(f"{where}: has numbers beyond 63 bits")
    if tensor.data_type in (TensorProto.BFLOAT16, TensorProto.FLOAT16):
        array = array.astype(np.float32)
    result = torch.from_numpy(np.array(array.astype(wide_type(array, dtype)), order="C")).to(dtype)
    if dtype.is_floating_point and torch.isnan(result).any():
        raise CheckpointError(f"{where}: has values that are not numbers")
    return result


def wide_type(array: np.ndarray, dtype: torch.dtype) -> Any:
    return array.dtype if dtype.is_floating_point else np.dtype(str(dtype).removeprefix("torch."))


def check_size(tensor: Any, where: str, count: int, size: int) -> None:
    if tensor.HasField("raw_data"):
        given, expected = len(tensor.raw_data), size
    else:
        given, expected = len(getattr(tensor, TYPED_FIELDS.get(tensor.data_type, "int32_data"))), count
        if TYPES[tensor.data_type][0] == 4:
            expected = -(-count // 2)
    if given != expected:
        raise CheckpointError(
            f"{where}: has {given} values or bytes, its shape {list(tensor.dims)} asks for {expected}"
        )


def attribute_value(attribute: Any) -> Any:
    """Numbers, strings, graphs and TensorProtos as the file has them."""
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return list(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value
