"""Operators that can follow their operands into another order of axes.

Each rule gives what holds the value of a node in the rewritten graph, or None if it does not know how.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable

import torch
from torch import fx

from voxc.compiler.core.nodes import call_arguments
from voxc.passes.layout.axis_order import (
    Held,
    Order,
    is_one,
    is_suffix,
    long_axes,
    normal,
    own_order,
    relabelled,
    shape_of,
    view_groups,
    with_axis,
)
from voxc.passes.layout.axis_sweep import Rule, Sweep, is_tensor, wrap

aten = torch.ops.aten


def meet(sweep: Sweep, node: fx.Node) -> Held | None:
    """Elementwise, with broadcasting: operands in one order, so that as few elements as possible move."""
    rank = node.meta["val"].dim()
    operands = [operand for operand in node.all_input_nodes if is_tensor(operand)]
    order = choose_order(sweep, node, operands)

    def fitting(operand: fx.Node) -> fx.Node:
        if not is_tensor(operand):
            return sweep.held[operand].node
        fitted = aligned(order, operand, rank)
        if is_suffix(sweep.order(operand), fitted):
            return sweep.held[operand].node  # broadcasting adds the ones in front
        return sweep.convert(operand, fitted)

    result = sweep.call_like(node, fx.map_arg((node.args, node.kwargs), fitting))
    return Held(result, order[len(order) - result.meta["val"].dim() :])


def aligned(order: Order, operand: fx.Node, rank: int) -> Order:
    """`order` of a result of `rank` as an operand of lower rank or with sizes of 1 has to be held."""
    shift = rank - operand.meta["val"].dim()
    shape = shape_of(operand)
    return normal(tuple(None if axis is None or axis < shift else axis - shift for axis in order), shape)


def choose_order(sweep: Sweep, node: fx.Node, operands: Iterable[fx.Node]) -> Order:
    """Of the orders in which operands are held, the one that moves least; of equals not the own one."""
    rank, own = node.meta["val"].dim(), own_order(shape_of(node))
    choices = [own]
    for operand in operands:
        shift = rank - operand.meta["val"].dim()
        order = tuple(None if axis is None else axis + shift for axis in sweep.order(operand))
        if set(long_axes(order)) == set(long_axes(own)):
            choices.append(order)

    def cost(order: Order) -> int:
        orders = {operand: aligned(order, operand, rank) for operand in operands}
        moving = [each for each in operands if not is_suffix(sweep.order(each), orders[each])]
        return sum(sweep.cost(operand, orders[operand]) for operand in moving)

    return min(choices, key=lambda order: (cost(order), order == own))


def join(sweep: Sweep, node: fx.Node) -> Held | None:
    """A concatenation: all parts in one order."""
    parts, dim = call_arguments(node)
    axis = wrap(dim, node)
    choices = [with_axis(sweep.order(part), axis) for part in parts]

    def cost(order: Order) -> int:
        return sum(sweep.cost(part, normal(order, shape_of(part))) for part in parts)

    order = min(choices, key=cost)
    held = [sweep.convert(part, normal(order, shape_of(part))) for part in parts]
    return sweep.call(node, order, held, order.index(axis))


def along(sweep: Sweep, node: fx.Node) -> Held | None:
    """Operators along one axis, which is their argument called `dim`."""
    value, *rest = call_arguments(node)
    position = dim_position(node)
    axis = wrap(rest[position - 1], value)
    held, order = sweep.hold_with(value, [axis])
    rest[position - 1] = order.index(axis)
    return sweep.call(node, order, held, *(sweep.now(each) for each in rest))


def dim_position(node: fx.Node) -> int:
    assert isinstance(node.target, torch._ops.OpOverload)
    return [argument.name for argument in node.target._schema.arguments].index("dim")


def along_all(sweep: Sweep, node: fx.Node) -> Held | None:
    """Operators over several axes that leave them in place: a flip, and a mean that keeps its axes."""
    value, dims, *rest = call_arguments(node)
    if node.target is aten.mean.dim and not rest[0]:
        return None
    axes = [wrap(dim, value) for dim in dims]
    held, order = sweep.hold_with(value, axes)
    return sweep.call(node, order, held, [order.index(axis) for axis in axes], *rest)


def over_last(sweep: Sweep, node: fx.Node) -> Held | None:
    """Operators over the last axes, fastest where memory has them last."""
    value, *rest = call_arguments(node)
    rank = value.meta["val"].dim()
    if node.target is aten._softmax.default:
        axes = [wrap(rest[0], value)]
        rest[0] = -1
    else:
        axes = list(range(rank - len(rest[0]), rank))
    named = sweep.order(value)
    for axis in axes:
        named = with_axis(named, axis)
    order = (*(axis for axis in named if axis not in axes), *axes)
    return sweep.call(node, order, sweep.convert(value, normal(order, shape_of(value))), *rest)


def part(sweep: Sweep, node: fx.Node) -> Held | None:
    source, index = call_arguments(node)
    held = sweep.held[source]
    if held.order is None or not is_tensor(node):
        return None
    return Held(sweep.call_like(node, ((held.node, index), {})), normal(held.order, shape_of(node)))


def same(sweep: Sweep, node: fx.Node) -> Held:
    return sweep.held[call_arguments(node)[0]]


def permute(sweep: Sweep, node: fx.Node) -> Held:
    value, dims = call_arguments(node)
    names = {wrap(old, value): new for new, old in enumerate(dims)}
    held = sweep.held[value]
    return Held(held.node, relabelled(sweep.order(value), names))


def unsqueeze(sweep: Sweep, node: fx.Node) -> Held:
    value, dim = call_arguments(node)
    new = wrap(dim, node)
    names = {axis: axis + (axis >= new) for axis in range(value.meta["val"].dim())}
    return Held(sweep.held[value].node, relabelled(sweep.order(value), names))


def squeeze(sweep: Sweep, node: fx.Node) -> Held:
    value, dims = call_arguments(node)
    shape = shape_of(value)
    gone = {axis for dim in dims if is_one(shape[axis := wrap(dim, value)])}
    left = [axis for axis in range(len(shape)) if axis not in gone]
    return Held(sweep.held[value].node, relabelled(sweep.order(value), {old: new for new, old in enumerate(left)}))


def select(sweep: Sweep, node: fx.Node) -> Held:
    value, dim, index = call_arguments(node)
    axis = wrap(dim, value)
    order = sweep.order(value)
    names = {old: old - (old > axis) for old in range(value.meta["val"].dim()) if old != axis}
    if axis not in order:  # its size is 1, and there is nothing to select
        return Held(sweep.held[value].node, relabelled(order, names))
    held = sweep.call_like(node, ((sweep.held[value].node, order.index(axis), index), {}))
    return Held(held, relabelled(tuple(each for each in order if each != axis), names))


def pad(sweep: Sweep, node: fx.Node) -> Held | None:
    value, widths, fill = call_arguments(node)
    rank = value.meta["val"].dim()
    pairs = {rank - 1 - index: widths[2 * index : 2 * index + 2] for index in range(len(widths) // 2)}
    pairs = {axis: pair for axis, pair in pairs.items() if pair != [0, 0]}
    held, order = sweep.hold_with(value, pairs)
    first = min((order.index(axis) for axis in pairs), default=len(order))
    moved = [width for axis in reversed(order[first:]) for width in pairs.get(axis, [0, 0])]
    return sweep.call(node, order, held, moved, fill)


def view(sweep: Sweep, node: fx.Node) -> Held | None:
    """Axes that become others in place need only that each group of them lies together, in its order."""
    value, sizes = call_arguments(node)
    groups = view_groups(shape_of(value), shape_of(node))
    if groups is None:
        own = sweep.view(sweep.plain(value), [sweep.now(size) for size in sizes])
        return Held(own, own_order(shape_of(node)))
    now = long_axes(sweep.order(value))
    if all(len(old) == len(new) == 1 for old, new in groups):
        return Held(sweep.held[value].node, relabelled(sweep.order(value), {old: new for (old,), (new,) in groups}))
    groups.sort(key=lambda group: now.index(group[0][-1]))  # what is innermost stays innermost
    grouped = [axis for old, _ in groups for axis in old]
    held = sweep.held[value].node if grouped == now else sweep.convert(value, tuple(grouped))
    order = tuple(axis for _, new in groups for axis in new)
    return Held(sweep.view(held, [sweep.now(sizes[axis]) for axis in order]), order)


AXIS_RULES: dict[object, Rule] = {
    operator.getitem: part,
    aten.alias.default: same,
    aten.clone.default: same,
    aten._to_copy.default: meet,
    aten.cat.default: join,
    **dict.fromkeys((aten.slice.Tensor, aten.split_with_sizes.default, aten.cumsum.default), along),
    **dict.fromkeys((aten.flip.default, aten.mean.dim), along_all),
    **dict.fromkeys((aten._softmax.default, aten.native_layer_norm.default), over_last),
    aten.select.int: select,
    aten.constant_pad_nd.default: pad,
    aten.permute.default: permute,
    aten.unsqueeze.default: unsqueeze,
    aten.squeeze.dims: squeeze,
    aten.view.default: view,
}
