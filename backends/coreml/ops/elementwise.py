"""Operators that work on each element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.lowering.weight import Weight

aten = torch.ops.aten

UNARY = {
    aten.abs.default: "abs",
    aten.ceil.default: "ceil",
    aten.cos.default: "cos",
    aten.erf.default: "erf",
    aten.exp.default: "exp",
    aten.floor.default: "floor",
    aten.logical_not.default: "logical_not",
    aten.relu.default: "relu",
    aten.round.default: "round",
    aten.sigmoid.default: "sigmoid",
    aten.sin.default: "sin",
    aten.sqrt.default: "sqrt",
    aten.tanh.default: "tanh",
}
#: MIL adds a small number before it takes these, for safety; the graph has its own.
WITH_EPSILON = {aten.log.default: "log", aten.rsqrt.default: "rsqrt"}
ARITHMETIC = {
    aten.add.Tensor: "add",
    aten.sub.Tensor: "sub",
    aten.mul.Tensor: "mul",
    aten.maximum.default: "maximum",
    aten.minimum.default: "minimum",
}
COMPARISON = {
    aten.eq.Scalar: "equal",
    aten.eq.Tensor: "equal",
    aten.ge.Scalar: "greater_equal",
    aten.ge.Tensor: "greater_equal",
    aten.gt.Scalar: "greater",
    aten.gt.Tensor: "greater",
    aten.le.Scalar: "less_equal",
    aten.le.Tensor: "less_equal",
    aten.lt.Scalar: "less",
    aten.lt.Tensor: "less",
    aten.ne.Scalar: "not_equal",
    aten.ne.Tensor: "not_equal",
}
LOGICAL = {aten.logical_and.default: "logical_and", aten.logical_or.default: "logical_or"}
GELU = {"none": "EXACT", "tanh": "TANH_APPROXIMATION"}


def unary(kind: str) -> Lowering:
    return lambda build, node, x: build.op(kind, x=build.operand(x))


def with_epsilon(kind: str) -> Lowering:
    return lambda build, node, x: build.op(kind, x=build.operand(x), epsilon=build.scalar(0))


def arithmetic(kind: str) -> Lowering:
    def lower(build: CoreMLBuilder, node: fx.Node, left: object, right: object, alpha: float = 1) -> Var:
        dtype = node.meta["val"].dtype
        if alpha != 1:
            raise build.refuse(f"alpha={alpha}")
        return build.op(kind, x=build.operand(left, dtype), y=build.operand(right, dtype))

    return lower


def divide(build: CoreMLBuilder, node: fx.Node, left: object, right: object) -> Var:
    """By a number: a product, which every unit has."""
    dtype = node.meta["val"].dtype
    if isinstance(right, fx.Node) or not dtype.is_floating_point:
        return build.op("real_div", x=build.operand(left, dtype), y=build.operand(right, dtype))
    return build.op("mul", x=build.operand(left, dtype), y=build.number(1 / right, dtype))  # type: ignore[operator]


def power(build: CoreMLBuilder, node: fx.Node, x: fx.Node, exponent: float) -> Var:
    value = build.operand(x, node.meta["val"].dtype)
    if exponent == 2:
        return build.op("mul", x=value, y=value)
    return build.op("pow", x=value, y=build.number(exponent, node.meta["val"].dtype))


def negative(build: CoreMLBuilder, node: fx.Node, x: fx.Node) -> Var:
    dtype = node.meta["val"].dtype
    return build.op("mul", x=build.operand(x), y=build.number(-1, dtype))


def reciprocal(build: CoreMLBuilder, node: fx.Node, x: fx.Node) -> Var:
    """As a quotient: MIL's inverse adds a small number first."""
    dtype = node.meta["val"].dtype
    return build.op("real_div", x=build.number(1, dtype), y=build.operand(x, dtype))


def comparison(kind: str) -> Lowering:
    def lower(build: CoreMLBuilder, node: fx.Node, left: fx.Node, right: object) -> Var:
        dtype = left.meta["val"].dtype
        if isinstance(right, fx.Node):
            dtype = torch.promote_types(dtype, right.meta["val"].dtype)
        elif isinstance(right, float) and not dtype.is_floating_point:
            dtype = torch.float32
        return build.op(kind, x=build.operand(left, dtype), y=build.operand(right, dtype))

    return lower


def logical(kind: str) -> Lowering:
    return lambda build, node, left, right: build.op(
        kind, x=build.operand(left, torch.bool), y=build.operand(right, torch.bool)
    )


def remainder(build: CoreMLBuilder, node: fx.Node, x: fx.Node, divisor: float) -> Var:
    """x - floor(x / d) * d."""
    dtype = node.meta["val"].dtype
    value = build.operand(x, dtype)
    whole = build.op("floor", x=build.op("mul", x=value, y=build.number(1 / divisor, dtype)))
    return build.op("sub", x=value, y=build.op("mul", x=whole, y=build.number(divisor, dtype)))


def leaky_relu(build: CoreMLBuilder, node: fx.Node, x: fx.Node, slope: float) -> Var:
    return build.op("leaky_relu", x=build.operand(x), alpha=build.scalar(slope))


def gelu(build: CoreMLBuilder, node: fx.Node, x: fx.Node, approximate: str) -> Var:
    return build.op("gelu", x=build.operand(x), mode=GELU[approximate])


def clamp(build: CoreMLBuilder, node: fx.Node, x: fx.Node, low: float | None, high: float | None) -> Var:
    """MIL's clip has two bounds and takes real numbers."""
    dtype = node.meta["val"].dtype
    value: Any = build.operand(x, dtype)
    bounds = [bound if bound is not None and math.isfinite(bound) else None for bound in (low, high)]
    if dtype.is_floating_point and None not in bounds and bounds[0] < bounds[1]:  # type: ignore[operator]
        return build.op("clip", x=value, alpha=build.scalar(bounds[0]), beta=build.scalar(bounds[1]))  # type: ignore[arg-type]
    for kind, bound in zip(("maximum", "minimum"), bounds, strict=True):
        if bound is not None:
            value = build.op(kind, x=value, y=build.number(bound, dtype))
    return value


def where(build: CoreMLBuilder, node: fx.Node, condition: fx.Node, if_true: object, if_false: object) -> Var:
    """Condition and branches in the shape of the result: what Core ML makes of others is not written down."""
    dtype = node.meta["val"].dtype
    mask = build.operand(condition)
    if tuple(mask.shape) != build.shape:
        mask = build.cast(spread(build, build.cast(mask, "fp32"), np.float32), "bool")
    a, b = (spread(build, build.operand(each, dtype), type(build.number(0, dtype))) for each in (if_true, if_false))
    return build.op("select", cond=mask, a=a, b=b)


def spread(build: CoreMLBuilder, value: Any, kind: type[np.generic]) -> Var:
    """A value, or a number, in the shape of the result."""
    if not isinstance(value, Var):
        return build.constant(np.full(build.shape, value, kind))
    if tuple(value.shape) == build.shape:
        return value
    if value.val is not None:
        return build.constant(np.broadcast_to(value.val, build.shape))
    return build.op("add", x=value, y=build.constant(np.zeros(build.shape, kind)))


def full(build: CoreMLBuilder, node: fx.Node, *arguments: Any) -> Weight:
    """A number as a tensor: `scalar_tensor(number)`, `full(shape, number)`, `full_like(x, number)`."""
    number = arguments[0] if node.target is aten.scalar_tensor.default else arguments[1]
    return Weight(node.name, torch.full(build.shape, number, dtype=node.meta["val"].dtype).numpy())


def cast(build: CoreMLBuilder, node: fx.Node, x: fx.Node, *_: object) -> object:
    """A constant that changes between sizes of floats stays the constant; it is laid out where it is used."""
    dtype = node.meta["val"].dtype
    constant = build.constant_of(x)
    if constant is not None and dtype.is_floating_point and x.meta["val"].dtype.is_floating_point:
        return constant
    return build.cast(build.operand(x), build.type_of(dtype))


LOWERINGS: Lowerings = {
    **{target: unary(kind) for target, kind in UNARY.items()},
    **{target: with_epsilon(kind) for target, kind in WITH_EPSILON.items()},
    **{target: arithmetic(kind) for target, kind in ARITHMETIC.items()},
    **{target: comparison(kind) for target, kind in COMPARISON.items()},
    **{target: logical(kind) for target, kind in LOGICAL.items()},
    aten.div.Tensor: divide,
    aten.pow.Tensor_Scalar: power,
    aten.neg.default: negative,
    aten.reciprocal.default: reciprocal,
    aten.remainder.Scalar: remainder,
    aten.leaky_relu.default: leaky_relu,
    aten.gelu.default: gelu,
    aten.clamp.default: clamp,
    aten.where.self: where,
    aten.scalar_tensor.default: full,
    aten.full.default: full,
    aten.full_like.default: full,
    aten._to_copy.default: cast,
}
