"""What can be proven about the values of a node without running it: an interval for all its elements.

Sizes may be symbolic: `arange(T) < full([1], T)` is true everywhere for every T, because T - 1 < T.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from voxc.compiler.core.nodes import call_arguments

aten = torch.ops.aten

Bound = Any  # int, float, bool or a symbolic size
Interval = tuple[Bound, Bound]


class ValueRanges:
    """Intervals of the nodes of a graph, worked out on demand."""

    def __init__(self) -> None:
        self.known: dict[fx.Node, Interval | None] = {}

    def constant(self, node: object) -> Bound | None:
        """The value that every element of `node` has, if that is provable."""
        interval = self.interval(node)
        if interval is None or not statically_known_true(interval[0] == interval[1]):
            return None
        return interval[0]

    def interval(self, node: object) -> Interval | None:
        if isinstance(node, bool | int | float | torch.SymInt):
            return node, node
        if not isinstance(node, fx.Node):
            return None
        if node not in self.known:
            rule = RULES.get(node.target) if node.op == "call_function" else None
            self.known[node] = rule(self, node) if rule else scalar_value(node)
        return self.known[node]


def scalar_value(node: fx.Node) -> Interval | None:
    """A symbolic size is its own interval."""
    value = node.meta.get("val")
    return (value, value) if isinstance(value, int | torch.SymInt) else None


def filled_with(argument: int) -> Callable[[ValueRanges, fx.Node], Interval | None]:
    return lambda ranges, node: ranges.interval(call_arguments(node)[argument])


def moved(ranges: ValueRanges, node: fx.Node) -> Interval | None:
    """Operators that only move or repeat elements."""
    return ranges.interval(call_arguments(node)[0])


def counted(ranges: ValueRanges, node: fx.Node) -> Interval | None:
    """arange(start, end) with step one."""
    first, last, step, *_ = call_arguments(node)
    if step != 1:
        return None
    start, end = ranges.interval(first), ranges.interval(last)
    return None if start is None or end is None else (start[0], end[1] - 1)


def multiplied(ranges: ValueRanges, node: fx.Node) -> Interval | None:
    left, right = (ranges.constant(operand) for operand in call_arguments(node))
    return None if left is None or right is None else (left * right, left * right)


def less(ranges: ValueRanges, node: fx.Node) -> Interval | None:
    left, right = (ranges.interval(operand) for operand in call_arguments(node))
    if left is None or right is None:
        return None
    if statically_known_true(left[1] < right[0]):
        return True, True
    if statically_known_true(left[0] >= right[1]):
        return False, False
    return None


def equal(ranges: ValueRanges, node: fx.Node) -> Interval | None:
    left, right = (ranges.constant(operand) for operand in call_arguments(node))
    return None if left is None or right is None else (bool(left == right),) * 2


RULES: dict[Any, Callable[[ValueRanges, fx.Node], Interval | None]] = {
    aten.full.default: filled_with(1),
    aten.full_like.default: filled_with(1),
    aten.scalar_tensor.default: filled_with(0),
    aten.arange.start_step: counted,
    aten.unsqueeze.default: moved,
    aten.squeeze.dims: moved,
    aten.expand.default: moved,
    aten.view.default: moved,
    aten.permute.default: moved,
    aten.slice.Tensor: moved,
    aten.clone.default: moved,
    aten._to_copy.default: moved,
    aten.mul.Tensor: multiplied,
    aten.mul.Scalar: multiplied,
    aten.lt.Tensor: less,
    aten.eq.Scalar: equal,
    aten.eq.Tensor: equal,
}
