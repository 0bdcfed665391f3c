"""Values whose axes a graph holds in another order than the model means, and how one order becomes another.

A permutation of axes, and an axis of size 1 that comes or goes, is only a note about a value until an operator needs
the axes in some order: then `convert` writes what is needed, once for each value and order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from voxc.passes.kit.graph_editor import GraphEditor

aten = torch.ops.aten

Size = int | torch.SymInt
#: For each axis of a stored tensor, the axis of the value that it is; None for any axis of size 1.
Order = tuple[int | None, ...]


@dataclass(frozen=True)
class Held:
    """A value of the model as the rewritten graph holds it: `node` has the value's axes longer than 1 in `order`.

    For a node of several results the order is that of each result; None stands for the model's own order.
    """

    node: fx.Node
    order: Order | None


@dataclass
class Holdings:
    """How each value of the model is held, and what has been written to hold it otherwise."""

    editor: GraphEditor
    held: dict[fx.Node, Held] = field(default_factory=dict)
    converted: dict[tuple[fx.Node, Order], fx.Node] = field(default_factory=dict)  # by place in the stored tensor

    def order(self, value: fx.Node) -> Order:
        order = self.held[value].order
        assert order is not None, f"{value.name} is not a tensor"
        return order

    def cost(self, value: fx.Node, order: Order) -> int:
        """Elements that must move so that `value` is held in `order`; 1 where only its shape must change."""
        now = self.order(value)
        if now == order or self.editor.weight(self.held[value].node) is not None:
            return 0
        return 1 if long_axes(now) == long_axes(order) else math.prod(map(hint, shape_of(value)))

    def convert(self, value: fx.Node, order: Order) -> fx.Node:
        """`value` in `order`, which has all its axes longer than 1, for use at the editor's place and after it."""
        held = self.held[value]
        if held.order == order:
            return held.node
        now = self.order(value)
        key = held.node, tuple(None if axis is None else now.index(axis) for axis in order)
        if key not in self.converted:
            tensor = self.editor.weight(held.node)
            if tensor is None:
                self.converted[key] = self.reorder(held.node, now, order)
            else:
                name = f"{self.editor.weight_key(held.node)}_reordered"
                self.converted[key] = self.editor.add_weight(name, reordered(tensor, now, order))
        return self.converted[key]

    def reorder(self, node: fx.Node, now: Order, order: Order) -> fx.Node:
        if long_axes(now) == long_axes(order):
            return self.with_ones(node, now, order)
        if len(now) != len(order):
            staged = (*(None for _ in range(order.count(None))), *long_axes(now))
            node, now = self.with_ones(node, now, staged), staged
        return self.editor.call(aten.permute.default, node, permutation(now, order))

    def with_ones(self, node: fx.Node, now: Order, order: Order) -> fx.Node:
        """Axes of size 1 come and go; the others stay in order."""
        if now == order:
            return node
        shape, place = node.meta["val"].shape, {axis: position for position, axis in enumerate(now)}
        return self.view(node, [1 if axis is None else self.size(node, shape, place[axis]) for axis in order])

    def size(self, node: fx.Node, shape: Sequence[Size], axis: int) -> int | fx.Node:
        size = shape[axis]
        return size if isinstance(size, int) else self.editor.call(aten.sym_size.int, node, axis)

    def view(self, node: fx.Node, sizes: list[Any]) -> fx.Node:
        """PyTorch's view, of a copy where memory is not in the order of the axes; one view of another is one."""
        while node.target is aten.view.default:
            (node,) = (source for source in node.all_input_nodes if isinstance(source.meta["val"], Tensor))
        if not is_contiguous(node.meta["val"]):
            node = self.editor.call(aten.clone.default, node, memory_format=torch.contiguous_format)
        return self.editor.call(aten.view.default, node, sizes)


def own_order(shape: Sequence[Size]) -> Order:
    """The order of a tensor of `shape` that is held as it is."""
    return normal(tuple(range(len(shape))), shape)


def normal(order: Order, shape: Sequence[Size]) -> Order:
    """`order` with None for all axes of size 1, which are as good as one another."""
    return tuple(None if axis is None or is_one(shape[axis]) else axis for axis in order)


def relabelled(order: Order, names: dict[int, int]) -> Order:
    """`order` for a value whose axes have other numbers; an axis without a new one has size 1."""
    return tuple(None if axis is None else names.get(axis) for axis in order)


def long_axes(order: Order) -> list[int]:
    return [axis for axis in order if axis is not None]


def permutation(now: Order, order: Order) -> list[int]:
    """Positions to take from a tensor in order `now`, of equal rank, for one in `order`."""
    ones = iter([position for position, axis in enumerate(now) if axis is None])
    return [next(ones) if axis is None else now.index(axis) for axis in order]


def reordered(tensor: Tensor, now: Order, order: Order) -> Tensor:
    """What `Holdings.reorder` writes for a tensor, done at once."""
    squeezed = tensor.reshape([size for size, axis in zip(tensor.shape, now, strict=True) if axis is not None])
    moved = squeezed.permute([long_axes(now).index(axis) for axis in long_axes(order)])
    sizes = iter(moved.shape)
    return moved.reshape([1 if axis is None else next(sizes) for axis in order])


def with_axis(order: Order, axis: int) -> Order:
    """`order` with `axis` in it, which may have size 1."""
    if axis in order:
        return order
    if None not in order:
        order = (None, *order)
    first = order.index(None)
    return (*order[:first], axis, *order[first + 1 :])


def is_suffix(order: Order, longer: Order) -> bool:
    lacking = len(longer) - len(order)
    return lacking >= 0 and longer[lacking:] == order and not long_axes(longer[:lacking])


def shape_of(value: fx.Node) -> Sequence[Size]:
    return tuple(value.meta["val"].shape)


def is_contiguous(tensor: Tensor) -> bool:
    """PyTorch's own question would tie a symbolic size to its example."""
    expected: Size = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if not is_one(size) and not statically_known_true(stride == expected):
            return False
        expected = expected * size
    return True


def is_one(size: Size) -> bool:
    return bool(statically_known_true(size == 1))


def hint(size: Size) -> int:
    """A size; for a symbolic one that of the example."""
    return size if isinstance(size, int) else int(size.node.hint)


def view_groups(old: Sequence[Size], new: Sequence[Size]) -> list[tuple[list[int], list[int]]] | None:
    """Which axes longer than 1 of shape `old` become which of `new` in a view; None if sizes are too symbolic to tell.

    Each group is the least number of axes on both sides with one product.
    """
    sides = [[axis for axis, size in enumerate(shape) if not is_one(size)] for shape in (old, new)]
    groups = []
    while sides[0] or sides[1]:
        taken: tuple[list[int], list[int]] = ([], [])
        products: list[Size] = [1, 1]
        while not taken[0] or not statically_known_true(products[0] == products[1]):
            side = 0 if hint(products[0]) <= hint(products[1]) else 1
            if not sides[side]:
                return None
            axis = sides[side].pop(0)
            taken[side].append(axis)
            products[side] = products[side] * (old, new)[side][axis]
        groups.append(taken)
    return groups
