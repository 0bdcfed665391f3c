"""Operators that work on each element."""

from __future__ import annotations

import math

import torch
from torch import fx

from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.tflite.builder import TfliteBuilder
from voxc.backends.tflite.file import Quantization, Value
from voxc.backends.tflite.integers import InIntegers

aten = torch.ops.aten

UNARY = {
    aten.abs.default: "ABS",
    aten.ceil.default: "CEIL",
    aten.cos.default: "COS",
    aten.exp.default: "EXP",
    aten.floor.default: "FLOOR",
    aten.log.default: "LOG",
    aten.logical_not.default: "LOGICAL_NOT",
    aten.neg.default: "NEG",
    aten.round.default: "ROUND",
    aten.rsqrt.default: "RSQRT",
    aten.sin.default: "SIN",
    aten.sqrt.default: "SQRT",
}
ARITHMETIC = {aten.add.Tensor: "ADD", aten.sub.Tensor: "SUB", aten.mul.Tensor: "MUL"}
COMPARISON = {
    aten.eq.Scalar: "EQUAL",
    aten.eq.Tensor: "EQUAL",
    aten.ge.Scalar: "GREATER_EQUAL",
    aten.ge.Tensor: "GREATER_EQUAL",
    aten.gt.Scalar: "GREATER",
    aten.gt.Tensor: "GREATER",
    aten.le.Scalar: "LESS_EQUAL",
    aten.le.Tensor: "LESS_EQUAL",
    aten.lt.Scalar: "LESS",
    aten.lt.Tensor: "LESS",
}
#: The only quantization that the integer kernels of these two give.
BOUNDED = {
    aten.tanh.default: ("TANH", Quantization((1 / 128,), 0)),
    aten.sigmoid.default: ("LOGISTIC", Quantization((1 / 256,), -128)),
}


LOGICAL = {aten.logical_and.default: "LOGICAL_AND", aten.logical_or.default: "LOGICAL_OR"}


def logical(code: str) -> Lowering:
    return lambda build, node, left, right: build.op(code, build.operand(left), build.operand(right))


def unary(code: str) -> Lowering:
    return lambda build, node, x: build.op(code, build.operand(x))


def bounded(code: str, given: Quantization) -> Lowering:
    def lower(build: TfliteBuilder, node: fx.Node, x: fx.Node) -> Value:
        return build.op(code, build.operand(x), quantization=given if build.result else None)

    return lower


def arithmetic(code: str) -> Lowering:
    def lower(build: TfliteBuilder, node: fx.Node, left: object, right: object, alpha: float = 1) -> Value:
        dtype = node.meta["val"].dtype
        if alpha != 1:
            raise build.refuse(f"alpha={alpha}")
        return build.op(code, build.operand(left, dtype), build.operand(right, dtype))

    return lower


def divide(build: TfliteBuilder, node: fx.Node, left: object, right: object) -> Value:
    """By a number: a product, which every kernel has."""
    dtype = node.meta["val"].dtype
    if isinstance(right, fx.Node):
        return build.op("DIV", build.operand(left, dtype), build.operand(right, dtype))
    return build.op("MUL", build.operand(left, dtype), build.number(1 / right, dtype))  # type: ignore[operator]


def power(build: TfliteBuilder, node: fx.Node, x: fx.Node, exponent: float) -> Value:
    value = build.operand(x, node.meta["val"].dtype)
    if exponent == 2:
        return build.op("MUL", value, value)
    return build.op("POW", value, build.number(exponent, node.meta["val"].dtype))


def reciprocal(build: TfliteBuilder, node: fx.Node, x: fx.Node) -> Value:
    return build.op("DIV", build.number(1.0, node.meta["val"].dtype), build.real(x))


def comparison(code: str) -> Lowering:
    def lower(build: TfliteBuilder, node: fx.Node, left: fx.Node, right: object) -> Value:
        return build.op(code, build.real(left), build.operand(right, left.meta["val"].dtype))

    return lower


def remainder(build: TfliteBuilder, node: fx.Node, x: fx.Node, divisor: float) -> Value:
    """x - floor(x / d) * d, in operators that every delegate has."""
    dtype = node.meta["val"].dtype
    value = build.operand(x, dtype)
    whole = build.op("FLOOR", build.op("MUL", value, build.number(1 / divisor, dtype)))
    return build.op("SUB", value, build.op("MUL", whole, build.number(divisor, dtype)))


def relu(build: TfliteBuilder, node: fx.Node, x: fx.Node) -> Value:
    """In integers with the quantization of x, which spares the delegate a rescaling that it does not have."""
    value = build.operand(x)
    return build.op("RELU", value, like=value)


def leaky_relu(build: TfliteBuilder, node: fx.Node, x: fx.Node, slope: float) -> Value:
    return build.op("LEAKY_RELU", build.operand(x), alpha=float(slope))


def gelu(build: TfliteBuilder, node: fx.Node, x: fx.Node, approximate: str) -> Value:
    return build.op("GELU", build.real(x), approximate=approximate == "tanh")


def clamp(build: TfliteBuilder, node: fx.Node, x: fx.Node, low: float | None, high: float | None) -> Value:
    dtype = node.meta["val"].dtype
    value = build.operand(x, dtype)
    for code, bound in (("MAXIMUM", low), ("MINIMUM", high)):
        if bound is not None and math.isfinite(bound):
            value = build.op(code, value, build.number(bound, dtype))
    return value


def where(build: TfliteBuilder, node: fx.Node, condition: fx.Node, if_true: object, if_false: object) -> Value:
    dtype = node.meta["val"].dtype
    return build.op("SELECT_V2", build.real(condition), build.operand(if_true, dtype), build.operand(if_false, dtype))


LOWERINGS: Lowerings = {
    **{target: unary(code) for target, code in UNARY.items()},
    **{target: InIntegers(bounded(*row)) for target, row in BOUNDED.items()},
    **{target: InIntegers(arithmetic(code)) for target, code in ARITHMETIC.items()},
    **{target: comparison(code) for target, code in COMPARISON.items()},
    **{target: logical(code) for target, code in LOGICAL.items()},
    aten.div.Tensor: divide,
    aten.pow.Tensor_Scalar: power,
    aten.reciprocal.default: reciprocal,
    aten.remainder.Scalar: remainder,
    aten.relu.default: InIntegers(relu),
    aten.leaky_relu.default: InIntegers(leaky_relu),
    aten.gelu.default: gelu,
    aten.clamp.default: clamp,
    aten.where.self: where,
}
