"""Operators that work on each element."""

from __future__ import annotations

import math

import torch
from torch import fx

from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.mlx.builder import FLOATS, MlxBuilder
from voxc.backends.mlx.statements import Call, Value

aten = torch.ops.aten

UNARY = {
    aten.abs.default: "mx.abs",
    aten.ceil.default: "mx.ceil",
    aten.cos.default: "mx.cos",
    aten.exp.default: "mx.exp",
    aten.floor.default: "mx.floor",
    aten.log.default: "mx.log",
    aten.logical_not.default: "mx.logical_not",
    aten.neg.default: "mx.negative",
    aten.reciprocal.default: "mx.reciprocal",
    aten.round.default: "mx.round",
    aten.rsqrt.default: "mx.rsqrt",
    aten.sigmoid.default: "mx.sigmoid",
    aten.sin.default: "mx.sin",
    aten.sqrt.default: "mx.sqrt",
    aten.tanh.default: "mx.tanh",
}
ARITHMETIC = {
    aten.add.Tensor: "+", aten.sub.Tensor: "-", aten.mul.Tensor: "*", aten.div.Tensor: "/",
    aten.add.Scalar: "+", aten.sub.Scalar: "-", aten.mul.Scalar: "*", aten.div.Scalar: "/",
}  # fmt: skip
BINARY = {
    aten.maximum.default: "mx.maximum",
    aten.minimum.default: "mx.minimum",
    aten.logical_and.default: "mx.logical_and",
    aten.remainder.Scalar: "mx.remainder",
    aten.remainder.Tensor: "mx.remainder",
}
COMPARISON = {
    aten.eq.Scalar: "==", aten.eq.Tensor: "==", aten.ge.Scalar: ">=", aten.ge.Tensor: ">=", aten.gt.Scalar: ">",
    aten.gt.Tensor: ">", aten.le.Scalar: "<=", aten.le.Tensor: "<=", aten.lt.Scalar: "<", aten.lt.Tensor: "<",
}  # fmt: skip


def unary(function: str) -> Lowering:
    return lambda build, node, x: build.call(function, build.value(x))


def binary(function: str) -> Lowering:
    """Both operands in the type of the result, as ATen has it."""

    def lower(build: MlxBuilder, node: fx.Node, left: object, right: object, alpha: float = 1) -> Value:
        if alpha != 1:
            raise build.refuse(f"alpha={alpha}")
        return build.call(function, build.operand(left, build.dtype), build.operand(right, build.dtype))

    return lower


def comparison(sign: str) -> Lowering:
    """Of floats in what the node computes in; of integers as they are."""
    return lambda build, node, left, right: build.call(sign, build.value(left), build.operand(right))


def power(build: MlxBuilder, node: fx.Node, x: fx.Node, exponent: float) -> Value:
    value = build.value(x, build.dtype)
    return build.call("mx.square", value) if exponent == 2 else build.call("mx.power", value, exponent)


def relu(build: MlxBuilder, node: fx.Node, x: fx.Node) -> Value:
    return build.call("mx.maximum", build.value(x), 0)


def leaky_relu(build: MlxBuilder, node: fx.Node, x: fx.Node, slope: float) -> Value:
    """The larger of the value and its small multiple."""
    if not 0 <= slope <= 1:
        raise build.refuse(f"slope {slope}")
    value = build.value(x)
    return build.call("mx.maximum", value, Call("*", (value, float(slope))))


def gelu(build: MlxBuilder, node: fx.Node, x: fx.Node, approximate: str) -> Value:
    """x times the normal distribution function, or its approximation by a hyperbolic tangent."""
    value = build.value(x)
    if approximate == "none":
        bent = Call("mx.erf", (Call("*", (value, math.sqrt(0.5))),))
    else:
        cube = Call("*", (Call("mx.power", (value, 3)), 0.044715))
        bent = Call("mx.tanh", (Call("*", (Call("+", (value, cube)), math.sqrt(2 / math.pi))),))
    return build.call("*", Call("*", (value, 0.5)), Call("+", (bent, 1)))


def clamp(build: MlxBuilder, node: fx.Node, x: fx.Node, low: float | None, high: float | None) -> Value:
    value = build.value(x, build.dtype)
    low, high = (None if bound is None or math.isinf(bound) else bound for bound in (low, high))
    return value if low is None and high is None else build.call("mx.clip", value, low, high)


def where(build: MlxBuilder, node: fx.Node, condition: fx.Node, if_true: object, if_false: object) -> Value:
    chosen = build.value(condition)
    return build.call("mx.where", chosen, build.operand(if_true, build.dtype), build.operand(if_false, build.dtype))


def convert(build: MlxBuilder, node: fx.Node, x: fx.Node, *_: object) -> object:
    """To another type; a weight that is stored as one float type and used as another is stored as it is used."""
    weight = build.constant_of(x)
    if weight is not None and weight.array.dtype.name in FLOATS and build.dtype in FLOATS:
        return weight
    return build.cast(build.value(x), build.dtype)


LOWERINGS: Lowerings = {
    **{target: unary(function) for target, function in UNARY.items()},
    **{target: binary(sign) for target, sign in (ARITHMETIC | BINARY).items()},
    **{target: comparison(sign) for target, sign in COMPARISON.items()},
    aten.pow.Tensor_Scalar: power,
    aten.relu.default: relu,
    aten.leaky_relu.default: leaky_relu,
    aten.gelu.default: gelu,
    aten.clamp.default: clamp,
    aten.where.self: where,
    aten._to_copy.default: convert,
}
