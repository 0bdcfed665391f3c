"""Operators that make tensors of attributes, sizes or constants."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from voxc.compiler.families.generic.onnx.call import Call, Function, Row
from voxc.compiler.families.generic.onnx.tensors import read_tensor, torch_type


def constant(call: Call) -> Function:
    for name, dtype in (("value_float", torch.float32), ("value_int", torch.int64)):
        for key in (name, f"{name}s"):
            if key in call.attributes:
                return gives(torch.tensor(call.attributes[key], dtype=dtype))
    if "value" not in call.attributes:
        raise call.refuse("only tensors, floats and integers are supported")
    return gives(read_tensor(call.attributes["value"], call.path))


def gives(tensor: Tensor) -> Function:
    return lambda *_: tensor.clone()


def shape(call: Call) -> Function:
    """Known beforehand, as all sizes are, whatever the input depends on."""
    sizes = call.shape()[call.attribute("start", 0) : call.attribute("end")]
    call.read.add(0)
    return gives(torch.tensor(sizes, dtype=torch.int64))


def size(call: Call) -> Function:
    call.read.add(0)
    return gives(torch.tensor(math.prod(call.shape()), dtype=torch.int64))


def constant_of_shape(call: Call) -> Function:
    sizes = call.bounded(call.integers(0, "sizes"))
    given = call.tensor_attribute("value")
    filler = torch.zeros(1) if given is None else given
    return lambda *_: filler.reshape(()).expand(list(sizes)).clone()


def sequence(call: Call) -> Function:
    begin, end, step = (call.static(index, "bounds") for index in range(3))
    numbers = [each.item() for each in (begin, end, step)]
    count = max(0, math.ceil((numbers[1] - numbers[0]) / numbers[2]))
    call.bounded([count])
    places = torch.arange(count, dtype=begin.dtype)
    return gives(places * step.reshape(()) + begin.reshape(()))


def identity_matrix(call: Call) -> Function:
    rows, columns = call.shape()
    dtype = torch_type(call.attributes["dtype"], call.name) if "dtype" in call.attributes else call.dtype()
    call.read.add(0)
    matrix = torch.tril(torch.triu(torch.ones(rows, columns), call.attribute("k", 0)), call.attribute("k", 0))
    return gives(matrix.to(dtype))


def non_zero(call: Call) -> Function:
    return gives(torch.nonzero(call.static(0, "places")).t())


ROWS: dict[str, Row] = {
    "Constant": constant,
    "Shape": shape,
    "Size": size,
    "ConstantOfShape": constant_of_shape,
    "Range": sequence,
    "EyeLike": identity_matrix,
    "NonZero": non_zero,
}
