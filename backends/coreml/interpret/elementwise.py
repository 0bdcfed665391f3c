"""Operations on each element: arithmetic, comparisons, logic, casts, and choices between tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import HELD, NAMES, Call, Kernel, Lowerings

Unary = Callable[[Tensor], Tensor]
Binary = Callable[[Tensor, Tensor], Tensor]


def unary(function: Unary) -> Kernel:
    return lambda call: function(call.tensor("x"))


def binary(function: Binary) -> Kernel:
    return lambda call: function(call.tensor("x"), call.tensor("y"))


def with_epsilon(function: Unary, epsilon: float) -> Kernel:
    """f(x + epsilon)."""
    return lambda call: function(call.tensor("x") + call.number("epsilon", epsilon))


def real_div(call: Call) -> Tensor:
    """x / y; of integers, the quotient cut to an integer, as a result of their type must be."""
    quotient = call.tensor("x") / call.tensor("y")
    return quotient.to(call.held())


def power(call: Call) -> Tensor:
    x, y = call.tensor("x"), call.tensor("y")
    if x.is_floating_point():
        return x.pow(y)
    return x.double().pow(y.double()).to(call.held())  # torch refuses negative integer exponents


def floor_div(call: Call) -> Tensor:
    x, y = nonzero_divisor(call)
    return torch.floor_divide(x, y)


def modulo(call: Call) -> Tensor:
    """x - y * floor(x / y): the sign is that of y."""
    x, y = nonzero_divisor(call)
    return torch.remainder(x, y)


def nonzero_divisor(call: Call) -> tuple[Tensor, Tensor]:
    x, y = call.tensor("x"), call.tensor("y")
    if not y.is_floating_point() and bool((y == 0).any()):
        raise call.wrong("an integer divided by zero")
    return x, y


def clip(call: Call) -> Tensor:
    return call.tensor("x").clamp(call.number("alpha"), call.number("beta")).to(call.held())


def threshold(call: Call) -> Tensor:
    """max(x, alpha)."""
    return call.tensor("x").clamp(min=call.number("alpha")).to(call.held())


def cast(call: Call) -> Tensor:
    """x as another type; real numbers are cut to integers towards zero."""
    name = call.text("dtype")
    dtype = NAMES.get(name, name)
    if dtype not in HELD:
        raise call.unsupported(f"a cast to {name}")
    x = call.tensor("x")
    if dtype == "uint16":
        return x.to(torch.int64).bitwise_and(0xFFFF).to(torch.int32)
    if x.is_floating_point() and dtype in ("int8", "uint8", "int16"):
        x = x.to(torch.int64)
    return x.to(HELD[dtype])


def select(call: Call) -> Tensor:
    return torch.where(call.tensor("cond"), call.tensor("a"), call.tensor("b"))


TABLE: Lowerings = {
    "abs": unary(torch.abs),
    "acos": unary(torch.acos),
    "asin": unary(torch.asin),
    "atan": unary(torch.atan),
    "atanh": unary(torch.atanh),
    "ceil": unary(torch.ceil),
    "cos": unary(torch.cos),
    "cosh": unary(torch.cosh),
    "erf": unary(torch.erf),
    "exp": unary(torch.exp),
    "exp2": unary(torch.exp2),
    "floor": unary(torch.floor),
    "identity": unary(lambda x: x),
    "inverse": with_epsilon(torch.reciprocal, 1e-4),
    "log": with_epsilon(torch.log, 1e-45),
    "logical_not": unary(torch.logical_not),
    "round": unary(torch.round),  # halves to even
    "rsqrt": with_epsilon(torch.rsqrt, 1e-12),
    "sign": unary(torch.sign),
    "sin": unary(torch.sin),
    "sinh": unary(torch.sinh),
    "sqrt": unary(torch.sqrt),
    "square": unary(torch.square),
    "tan": unary(torch.tan),
    "tanh": unary(torch.tanh),
    "add": binary(torch.add),
    "sub": binary(torch.sub),
    "mul": binary(torch.mul),
    "maximum": binary(torch.maximum),
    "minimum": binary(torch.minimum),
    "equal": binary(torch.eq),
    "not_equal": binary(torch.ne),
    "greater": binary(torch.gt),
    "greater_equal": binary(torch.ge),
    "less": binary(torch.lt),
    "less_equal": binary(torch.le),
    "logical_and": binary(torch.logical_and),
    "logical_or": binary(torch.logical_or),
    "logical_xor": binary(torch.logical_xor),
    "floor_div": floor_div,
    "mod": modulo,
    "pow": power,
    "real_div": real_div,
    "clip": clip,
    "threshold": threshold,
    "cast": cast,
    "select": select,
}

#: Those whose results are among their inputs or their negations, so that what was float16 still is.
EXACT = frozenset({"abs", "identity", "maximum", "minimum", "select", "sign", "ceil", "floor", "round"})
