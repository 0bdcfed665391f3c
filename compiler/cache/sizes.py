"""Symbolic sizes of a graph as JSON: expressions, and what is known of their symbols.

400 * (s0 + 1)   {"Mul": [400, {"Add": [{"symbol": "s0"}, 1]}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy import functions, numbers
from torch.utils._sympy.value_ranges import ValueRanges

from voxc.compiler.cache.entry import DamagedEntry, UnsuitableEntry

SymbolicSize = torch.SymInt | torch.SymFloat | torch.SymBool
MODULES = (functions, numbers, sympy)  # where the classes of expressions are


def describe_expression(expression: Any) -> Any:
    """An expression as JSON.

    Raises:
        UnsuitableEntry: it is made of something else than operators, numbers and sizes that an input has.
    """
    if expression.is_Integer or (expression.is_Boolean and expression.is_Atom):
        return int(expression) if expression.is_Integer else bool(expression)
    if expression.is_Float:
        return float(expression)
    if expression.is_Symbol:
        if not expression.is_positive or not expression.is_integer:
            raise UnsuitableEntry(f"the size {expression} depends on values")
        return {"symbol": expression.name}
    name = type(expression).__name__
    if class_of(name) is not type(expression):
        raise UnsuitableEntry(f"{expression} has the unknown operator {name}")
    return {name: [describe_expression(operand) for operand in expression.args]}


def expression_of(description: Any) -> Any:
    """What `describe_expression` has described.

    Raises:
        DamagedEntry: there is no such operator.
    """
    if isinstance(description, bool | int | float):
        return sympy.sympify(description)
    ((name, operands),) = description.items()
    if name == "symbol":
        return symbol(operands)
    operator = class_of(name)
    if operator is None:
        raise DamagedEntry(f"{name} is no operator on sizes")
    return operator(*map(expression_of, operands))


def symbol(name: str) -> sympy.Symbol:
    """A size of an input, with the assumptions that torch.export makes."""
    return sympy.Symbol(name, positive=True, integer=True)


def class_of(name: str) -> Any:
    """The class of expressions of that name; None if there is none."""
    found = next((getattr(module, name) for module in MODULES if hasattr(module, name)), None)
    return found if isinstance(found, type) and issubclass(found, sympy.Basic) else None


def describe_symbols(mode: FakeTensorMode) -> dict[str, Any]:
    """The symbols of a graph by name: least and largest value, and that of the example it was exported with."""
    env = mode.shape_env
    if env is None:
        return {}
    hints = known_values(env)
    return {
        each.name: {"range": describe_range(bounds), "hint": int(hints[each])}
        for each, bounds in env.var_to_range.items()
        if each in hints and each not in env.replacements
    }


def describe_range(bounds: Any) -> list[Any]:
    return [describe_expression(bounds.lower), describe_expression(bounds.upper)]


def range_of(description: list[Any]) -> ValueRanges[Any]:
    return ValueRanges(*map(expression_of, description))


def known_values(env: ShapeEnv) -> Mapping[sympy.Symbol, Any]:
    """The example's values; the attribute's name depends on the version of torch."""
    return env.backed_var_to_val if hasattr(env, "backed_var_to_val") else env.var_to_val


class Sizes:
    """The symbolic sizes of one graph that is being loaded."""

    def __init__(self, symbols: Mapping[str, Any]) -> None:
        self.env = ShapeEnv()
        self.mode = FakeTensorMode(shape_env=self.env, allow_non_fake_inputs=True)
        self.nodes: dict[str, Any] = {}
        add_value = getattr(self.env, "add_backed_var_to_val", None) or self.env.add_var_to_val
        for name, known in symbols.items():
            lower, upper = map(expression_of, known["range"])
            add_value(symbol(name), known["hint"])
            self.env.constrain_symbol_range(symbol(name), compiler_min=lower, compiler_max=upper)
        self.env.freeze()  # as torch.export leaves it: looking at a size must not fix it

    def size(self, description: Any) -> Any:
        """A number, or the symbolic one that `describe_size` has described."""
        if not isinstance(description, dict):
            return description
        key = str(description)
        if key not in self.nodes:
            self.nodes[key] = self.make(description)
        return self.nodes[key]

    def make(self, description: Mapping[str, Any]) -> Any:
        ((kind, expression),) = description.items()
        found = expression_of(expression)
        if kind == "SymBool":
            return self.env.create_symboolnode(found)
        value = found.subs(known_values(self.env))
        if kind == "SymFloat":
            return self.env.create_symfloatnode(found, hint=float(value))
        return self.env.create_symintnode(found, hint=int(value))


def describe_size(size: Any) -> Any:
    """A number as it is, a symbolic one by its kind and expression."""
    if isinstance(size, SymbolicSize):
        return {type(size).__name__: describe_expression(size.node.expr)}
    return size
