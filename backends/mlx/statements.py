"""A network as a list of MLX operations, which can be evaluated and can be printed, so that both say the same.

    conv = mx.conv2d(x, w["dec.conv_pre.weight"], padding=(0, 3))        one `Statement`: results and an expression

An expression is a `Call` of a function of mlx.core, of a method, or of an operator; its operands are values, further
expressions and plain Python numbers, tuples, slices and dtypes.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

#: Operators by their sign: how tightly they bind, and what they do.
INFIX = {
    "*": (3, operator.mul), "/": (3, operator.truediv), "@": (3, operator.matmul), "+": (2, operator.add),
    "-": (2, operator.sub), "==": (1, operator.eq), ">=": (1, operator.ge), ">": (1, operator.gt),
    "<=": (1, operator.le), "<": (1, operator.lt),
}  # fmt: skip
INDEX = "[]"
ATOM = 9


@dataclass(frozen=True)
class Value:
    """A tensor that a statement gives, an input or a weight; `name` is unique among those of its kind."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    weight: bool = False


@dataclass(frozen=True)
class Dtype:
    """An element type as an argument, `mx.float16`."""

    name: str


@dataclass(frozen=True)
class Name:
    """Text that stands in the source as it is."""

    text: str


#: An argument with what stands in front of it: nothing, or `name=`.
Argument = tuple[str, Any]


@dataclass(frozen=True)
class Call:
    """`function` is the dotted name of a function (`mx.conv2d`), of a method (`.astype`), a sign of `INFIX`, or `INDEX`
    for a selection of the first argument by the others."""

    function: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One operation: the values that it gives, and the module in the user's model that it comes from."""

    results: tuple[Value, ...]
    call: Call
    path: str


def values_in(operand: object) -> Iterator[Value]:
    """The values that an operand reads, in the order in which it is written."""
    if isinstance(operand, Value):
        yield operand
    elif isinstance(operand, Call):
        for part in (*operand.arguments, *operand.options.values()):
            yield from values_in(part)
    elif isinstance(operand, list | tuple):
        for part in operand:
            yield from values_in(part)


# Evaluation.


def evaluate(operand: Any, arrays: Mapping[Value, mx.array]) -> Any:
    """What an operand stands for, where `arrays` has the values."""
    if isinstance(operand, Value):
        return arrays[operand]
    if isinstance(operand, Dtype):
        return getattr(mx, operand.name)
    if isinstance(operand, list | tuple):
        return type(operand)(evaluate(part, arrays) for part in operand)
    if not isinstance(operand, Call):
        return operand
    arguments = [evaluate(part, arrays) for part in operand.arguments]
    options = {name: evaluate(part, arrays) for name, part in operand.options.items()}
    if operand.function in INFIX:
        return INFIX[operand.function][1](*arguments)
    if operand.function == INDEX:
        return arguments[0][tuple(arguments[1:])]
    if operand.function.startswith("."):
        return getattr(arguments[0], operand.function[1:])(*arguments[1:], **options)
    function: Any = mx
    for part in operand.function.split(".")[1:]:
        function = getattr(function, part)
    return function(*arguments, **options)


def run(statements: Iterable[Statement], arrays: dict[Value, mx.array]) -> None:
    """Adds to `arrays`, which has the inputs and weights, what the statements give.

    Every shape and type is compared with what the statement says it is, so that a lowering that is wrong about MLX is
    found where it is wrong.
    """
    for statement in statements:
        given = evaluate(statement.call, arrays)
        found = [given] if isinstance(given, mx.array) else list(given)
        for value, array in zip(statement.results, found, strict=True):
            told = (tuple(array.shape), str(array.dtype).removeprefix("mlx.core."))
            assert told == (value.shape, value.dtype), f"{source(statement.call)} in {statement.path} gives {told}"
            arrays[value] = array


# Source text.


def source(operand: Any, least: int = 0) -> str:
    """An operand as Python source, in parentheses if it binds less tightly than `least`."""
    text, strength = written(operand)
    return text if strength >= least else f"({text})"


def written(operand: Any) -> tuple[str, int]:
    """Source text and how tightly its outermost operator binds."""
    if isinstance(operand, Value):
        return (f'w["{operand.name}"]' if operand.weight else operand.name), ATOM
    if isinstance(operand, Dtype):
        return f"mx.{operand.name}", ATOM
    if isinstance(operand, Name):
        return operand.text, ATOM
    if isinstance(operand, slice):
        return slice_source(operand), ATOM
    if isinstance(operand, list):
        return f"[{', '.join(map(source, operand))}]", ATOM
    if isinstance(operand, tuple):
        return f"({', '.join(map(source, operand))}{',' if len(operand) == 1 else ''})", ATOM
    if isinstance(operand, float):
        return float_source(operand), ATOM if operand >= 0 else 4
    if not isinstance(operand, Call):
        return repr(operand), ATOM
    if operand.function in INFIX:
        strength = INFIX[operand.function][0]
        left, right = operand.arguments
        return f"{source(left, strength)} {operand.function} {source(right, strength + 1)}", strength
    if operand.function == INDEX:
        whole, *parts = operand.arguments
        return f"{source(whole, ATOM)}[{', '.join(map(source, parts))}]", ATOM
    arguments = ", ".join(f"{name}{source(part)}" for name, part in argument_operands(operand))
    return f"{function_source(operand)}({arguments})", ATOM


def function_source(call: Call) -> str:
    """What stands in front of the parenthesis of a call of a function or method."""
    return f"{source(call.arguments[0], ATOM)}{call.function}" if call.function.startswith(".") else call.function


def argument_operands(call: Call) -> list[Argument]:
    """What stands between the parentheses."""
    arguments = call.arguments[1:] if call.function.startswith(".") else call.arguments
    return [*(("", part) for part in arguments), *((f"{name}=", part) for name, part in call.options.items())]


def slice_source(part: slice) -> str:
    bounds = [part.start, part.stop] + ([] if part.step is None else [part.step])
    return ":".join("" if bound is None else str(bound) for bound in bounds)


def float_source(number: float) -> str:
    """Shortest text that gives the number again; infinities as Python knows them without imports."""
    text = repr(number)
    return f'float("{text}")' if text.strip("-") in ("inf", "nan") else text
