"""Operators that work on each element."""

from __future__ import annotations

import math

import torch
from torch import fx

from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.onnx.builder import DTYPES, OnnxBuilder

aten = torch.ops.aten
FIRST_GELU_OPSET = 20

UNARY = {
    aten.abs.default: "Abs",
    aten.ceil.default: "Ceil",
    aten.cos.default: "Cos",
    aten.erf.default: "Erf",
    aten.exp.default: "Exp",
    aten.floor.default: "Floor",
    aten.log.default: "Log",
    aten.logical_not.default: "Not",
    aten.neg.default: "Neg",
    aten.relu.default: "Relu",
    aten.round.default: "Round",
    aten.sigmoid.default: "Sigmoid",
    aten.sin.default: "Sin",
    aten.sqrt.default: "Sqrt",
    aten.tanh.default: "Tanh",
}
ARITHMETIC = {
    aten.add.Tensor: "Add",
    aten.sub.Tensor: "Sub",
    aten.mul.Tensor: "Mul",
    aten.div.Tensor: "Div",
    aten.pow.Tensor_Scalar: "Pow",
}
COMPARISON = {
    aten.eq.Scalar: "Equal",
    aten.eq.Tensor: "Equal",
    aten.ge.Scalar: "GreaterOrEqual",
    aten.ge.Tensor: "GreaterOrEqual",
    aten.gt.Scalar: "Greater",
    aten.gt.Tensor: "Greater",
    aten.le.Scalar: "LessOrEqual",
    aten.le.Tensor: "LessOrEqual",
    aten.lt.Scalar: "Less",
    aten.lt.Tensor: "Less",
}


LOGICAL = {aten.logical_and.default: "And", aten.logical_or.default: "Or"}


def logical(op_type: str) -> Lowering:
    return lambda build, node, left, right: build.op(
        op_type, build.operand(left, torch.bool), build.operand(right, torch.bool)
    )


def unary(op_type: str) -> Lowering:
    return lambda build, node, x: build.op(op_type, x)


def arithmetic(op_type: str) -> Lowering:
    def lower(build: OnnxBuilder, node: fx.Node, left: object, right: object, alpha: float = 1) -> str:
        dtype = node.meta["val"].dtype
        if alpha != 1:
            raise build.refuse(f"alpha={alpha}")
        return build.op(op_type, build.operand(left, dtype), build.operand(right, dtype))

    return lower


def comparison(op_type: str) -> Lowering:
    def lower(build: OnnxBuilder, node: fx.Node, left: fx.Node, right: object) -> str:
        dtype = left.meta["val"].dtype
        return build.op(op_type, left, build.operand(right, dtype))

    return lower


def remainder(build: OnnxBuilder, node: fx.Node, x: fx.Node, divisor: float) -> str:
    """x - floor(x / d) * d: Mod rounds toward zero for floats, and not every parser has it."""
    dtype = x.meta["val"].dtype
    by = build.scalar(divisor, dtype)
    whole = build.op("Floor", build.op("Div", x, by))
    return build.op("Sub", x, build.op("Mul", whole, by))


def reciprocal(build: OnnxBuilder, node: fx.Node, x: fx.Node) -> str:
    if build.has("Reciprocal"):
        return build.op("Reciprocal", x)
    return build.op("Div", build.scalar(1, node.meta["val"].dtype), x)


def leaky_relu(build: OnnxBuilder, node: fx.Node, x: fx.Node, slope: float) -> str:
    return build.op("LeakyRelu", x, alpha=float(slope))


def gelu(build: OnnxBuilder, node: fx.Node, x: fx.Node, approximate: str) -> str:
    """x * (1 + erf(x / sqrt(2))) / 2: the operator of its own came with opset 20."""
    if build.has("Gelu", FIRST_GELU_OPSET):
        return build.op("Gelu", x, approximate=approximate)
    if approximate != "none":
        raise build.refuse(f"approximate={approximate} needs opset {FIRST_GELU_OPSET}")
    one, half, root = (build.scalar(value, x.meta["val"].dtype) for value in (1.0, 0.5, math.sqrt(0.5)))
    share = build.op("Mul", build.op("Add", build.op("Erf", build.op("Mul", x, root)), one), half)
    return build.op("Mul", x, share)


def clamp(build: OnnxBuilder, node: fx.Node, x: fx.Node, low: float | None, high: float | None) -> str:
    dtype = x.meta["val"].dtype
    bounds = [None if bound is None else build.scalar(bound, dtype) for bound in (low, high)]
    if dtype.is_floating_point or build.dialect.integer_clip:
        return build.op("Clip", x, *bounds)
    result = build.value(x)
    for op_type, bound in zip(("Max", "Min"), bounds, strict=True):
        result = result if bound is None else build.op(op_type, result, bound)
    return result


def where(build: OnnxBuilder, node: fx.Node, condition: fx.Node, if_true: fx.Node, if_false: fx.Node) -> str:
    dtype = node.meta["val"].dtype
    return build.op("Where", condition, build.operand(if_true, dtype), build.operand(if_false, dtype))


def cast(build: OnnxBuilder, node: fx.Node, x: fx.Node, *_: object) -> str:
    return build.op("Cast", x, to=DTYPES[node.meta["val"].dtype])


LOWERINGS: Lowerings = {
    **{target: unary(op_type) for target, op_type in UNARY.items()},
    **{target: arithmetic(op_type) for target, op_type in ARITHMETIC.items()},
    **{target: logical(op_type) for target, op_type in LOGICAL.items()},
    **{target: comparison(op_type) for target, op_type in COMPARISON.items()},
    aten.reciprocal.default: reciprocal,
    aten.remainder.Scalar: remainder,
    aten.leaky_relu.default: leaky_relu,
    aten.gelu.default: gelu,
    aten.clamp.default: clamp,
    aten.where.self: where,
    aten._to_copy.default: cast,
}
