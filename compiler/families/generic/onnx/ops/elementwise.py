"""Operators that work on each element, but for activations."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from voxc.compiler.families.generic.onnx.call import Call, Function, Row, plain
from voxc.compiler.families.generic.onnx.tensors import torch_type


def binary(function: Callable[[Any, Any], Any]) -> Row:
    """Two operands that broadcast; one that is a constant number is given as such."""

    def row(call: Call) -> Function:
        left, right = call.number(0), call.number(1)
        if right is not None:
            return lambda x, _: function(x, right)
        if left is not None:
            return lambda _, y: function(left, y)
        return function

    return row


def divide(call: Call) -> Function:
    """Integers are divided toward zero."""
    if call.dtype().is_floating_point:
        return binary(operator.truediv)(call)
    return lambda x, y: torch.div(x, y, rounding_mode="trunc")


def extreme(pair: Callable[[Tensor, Tensor], Tensor], bound: str) -> Row:
    """Max and Min of any number of operands."""

    def clamp(x: Tensor, number: float | None) -> Tensor:
        return torch.clamp(x, min=number) if bound == "min" else torch.clamp(x, max=number)

    def row(call: Call) -> Function:
        numbers = [call.number(index) for index in range(len(call.inputs))] if len(call.inputs) == 2 else [None, None]
        if numbers[1] is not None:
            return lambda x, _: clamp(x, numbers[1])
        if numbers[0] is not None:
            return lambda _, y: clamp(y, numbers[0])
        return lambda *tensors: functools.reduce(pair, tensors)

    return row


def modulo(call: Call) -> Function:
    if call.attribute("fmod", 0):
        return torch.fmod
    number = call.number(1)
    return torch.remainder if number is None else lambda x, _: torch.remainder(x, number)


def clip(call: Call) -> Function:
    """Bounds are attributes before opset 11, and inputs since."""
    if call.opset < 11:
        low, high = call.attribute("min"), call.attribute("max")
    else:
        low, high = (call.static(index, "bounds").item() if call.has(index) else None for index in (1, 2))
    low, high = (None if bound is None or math.isinf(bound) else bound for bound in (low, high))
    if low is None and high is None:
        return lambda x, *_: x
    return lambda x, *_: torch.clamp(x, low, high)


def cast(call: Call) -> Function:
    """Constants get the type that the file says; in the network all floats are float32."""
    wanted = torch_type(call.required("to"), call.name)
    return convert(call, wanted)


def cast_like(call: Call) -> Function:
    return convert(call, call.dtype(1))


def convert(call: Call, dtype: torch.dtype) -> Function:
    if dtype.is_floating_point and not call.folds:
        if dtype != torch.float32:
            name = str(dtype).removeprefix("torch.")
            call.warnings.append(f"{name} of the file is computed in float32")
        dtype = torch.float32
    call.read.update(range(1, len(call.inputs)))
    return lambda x, *_: x if x.dtype == dtype else x.to(dtype)


def where(call: Call) -> Function:
    values = [call.number(index) if call.has(index) else None for index in (1, 2)]
    return lambda condition, x, y: torch.where(
        condition, x if values[0] is None else values[0], y if values[1] is None else values[1]
    )


def sign(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


def bit_shift(call: Call) -> Function:
    left = call.required("direction") == "LEFT"
    return torch.bitwise_left_shift if left else torch.bitwise_right_shift


def is_infinite(call: Call) -> Function:
    positive, negative = call.attribute("detect_positive", 1), call.attribute("detect_negative", 1)
    if not (positive and negative):
        raise call.refuse("only infinities of both signs together are supported")
    return lambda x: torch.abs(x) == math.inf


def total(*tensors: Tensor) -> Tensor:
    return functools.reduce(operator.add, tensors)


def average(*tensors: Tensor) -> Tensor:
    return total(*tensors) / len(tensors)


UNARY: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "Asin": torch.asin, "Asinh": torch.asinh,
    "Atan": torch.atan, "Atanh": torch.atanh, "Ceil": torch.ceil, "Cos": torch.cos, "Cosh": torch.cosh,
    "Erf": torch.erf, "Exp": torch.exp, "Floor": torch.floor, "Log": torch.log, "Neg": torch.neg,
    "Not": torch.logical_not, "Reciprocal": torch.reciprocal, "Round": torch.round, "Sign": sign, "Sin": torch.sin,
    "Sinh": torch.sinh, "Sqrt": torch.sqrt, "Tan": lambda x: torch.sin(x) / torch.cos(x), "Tanh": torch.tanh,
    "Identity": lambda x: x, "IsNaN": lambda x: x != x, "BitwiseNot": torch.bitwise_not,
}  # fmt: skip

ROWS: dict[str, Row] = {
    **{op_type: plain(function) for op_type, function in UNARY.items()},
    "Add": binary(operator.add),
    "Sub": binary(operator.sub),
    "Mul": binary(operator.mul),
    "Div": divide,
    "Pow": binary(operator.pow),
    "Equal": binary(operator.eq),
    "Greater": binary(operator.gt),
    "GreaterOrEqual": binary(operator.ge),
    "Less": binary(operator.lt),
    "LessOrEqual": binary(operator.le),
    "And": plain(torch.logical_and),
    "Or": plain(torch.logical_or),
    "Xor": plain(torch.logical_xor),
    "BitwiseAnd": plain(torch.bitwise_and),
    "BitwiseOr": plain(torch.bitwise_or),
    "BitwiseXor": plain(torch.bitwise_xor),
    "BitShift": bit_shift,
    "Mod": modulo,
    "Max": extreme(torch.maximum, "min"),
    "Min": extreme(torch.minimum, "max"),
    "Sum": plain(total),
    "Mean": plain(average),
    "Clip": clip,
    "Cast": cast,
    "CastLike": cast_like,
    "Where": where,
    "IsInf": is_infinite,
}
