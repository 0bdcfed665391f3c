"""Convolutions take their channels last, and what lies between them follows.

    before:  y [B, C, L] = conv1d(leaky_relu(conv1d(x))) + bias [1, C, 1]
    after:   y [B, 1, L, C] = conv_channels_last(leaky_relu(conv_channels_last(x))) + bias [1, 1, 1, C]

One sweep in topological order keeps, for each value, the order in which the graph holds its axes. Most operators take
their operands as they are held, a permutation of axes only changes what is noted about them, and so axes move where an
operator insists on an order, or where two values meet that are held differently: then the smaller one moves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler import ops as _operators  # noqa: F401, registers voxc::conv_channels_last
from voxc.compiler.program import Program, call_arguments
from voxc.compiler.target import Target
from voxc.passes.axis_order import (
    Held,
    Holdings,
    Order,
    is_one,
    long_axes,
    normal,
    own_order,
    relabelled,
    shape_of,
    view_groups,
)
from voxc.passes.base import Pass, PassResult
from voxc.passes.graph_editor import GraphEditor

aten = torch.ops.aten

#: By the rank of a convolution's input: the order of its axes with the channels last, always of rank 4.
CHANNELS_LAST: dict[int, Order] = {3: (0, None, 2, 1), 4: (0, 2, 3, 1)}


@dataclass(frozen=True)
class ChannelsLast(Pass):
    """Rewrites one- and two-dimensional convolutions with constant weights where the target wants channels last."""

    after: ClassVar[tuple[str, ...]] = ("fold_flips", "fold_time_into_rows", "clean_up", "share_equal_nodes")
    tolerance: ClassVar[float] = 1e-5  # instance norms are spelled out, and sum in another order

    def run(self, program: Program, target: Target) -> PassResult:
        if target.layout != "channels_last":
            return PassResult(program, modified=False)
        editor = GraphEditor(program)
        convolutions = [node for node in editor.calls(aten.convolution.default) if is_rewritable(editor, node)]
        if not convolutions:
            return PassResult(program, modified=False)
        permutes = len(editor.calls(aten.permute.default))
        spell_out_instance_norms(editor)
        Sweep(editor).rewrite()
        rewritten = editor.finish()
        left = sum(node.target is aten.permute.default for node in rewritten.graph.nodes)
        note = (
            f"{len(convolutions)} convolutions take channels last; {left} permutes are left "
            f"({permutes + 2 * len(convolutions)} if each convolution had its own)"
        )
        return PassResult(rewritten, modified=True, notes=(note,))


def is_rewritable(editor: GraphEditor, node: fx.Node) -> bool:
    source, weight, bias, *_ = call_arguments(node)
    constant = editor.weight(weight) is not None and (bias is None or editor.weight(bias) is not None)
    return constant and source.meta["val"].dim() == weight.meta["val"].dim() in CHANNELS_LAST


def spell_out_instance_norms(editor: GraphEditor) -> None:
    """Group norms with a group for each channel become arithmetic that any order of axes can follow."""
    for norm in editor.calls(aten.native_group_norm.default):
        x, scale, shift, _, channels, _, groups, epsilon = call_arguments(norm)
        if groups != channels or any(user.args[1] != 0 for user in norm.users):
            continue
        rank = x.meta["val"].dim()
        call, space = editor.call, list(range(2, rank))
        with editor.before(norm):
            centred = call(aten.sub.Tensor, x, call(aten.mean.dim, x, space, True))
            variance = call(aten.mean.dim, call(aten.mul.Tensor, centred, centred), space, True)
            y = call(aten.mul.Tensor, centred, call(aten.rsqrt.default, call(aten.add.Tensor, variance, epsilon)))
            for weight, combine in ((scale, aten.mul.Tensor), (shift, aten.add.Tensor)):
                if weight is not None:
                    y = call(combine, y, call(aten.view.default, weight, [1, channels, *(1 for _ in space)]))
        for result in list(norm.users):
            editor.replace(result, y)


class Sweep(Holdings):
    """Rewrites node after node."""

    def rewrite(self) -> None:
        given = list(self.editor.graph.nodes)
        for node in given:
            with self.editor.before(node):
                self.visit(node)
        for node in reversed(given):
            if node.op == "call_function" and self.held[node].node is not node and not node.users:
                self.editor.graph.erase_node(node)

    def visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.held[node] = Held(node, own_order(shape_of(node)) if is_tensor(node) else None)
        elif node.op == "output":
            node.args = fx.map_arg(node.args, self.plain)
        else:
            pointwise = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags
            rule = RULES.get(node.target, meet if pointwise else None)
            self.held[node] = (rule and rule(self, node)) or self.follow(node)

    def plain(self, value: fx.Node) -> fx.Node:
        """`value` with its axes in the model's own order."""
        return self.convert(value, own_order(shape_of(value))) if is_tensor(value) else self.held[value].node

    def now(self, size: int | fx.Node) -> int | fx.Node:
        return self.held[size].node if isinstance(size, fx.Node) else size

    def follow(self, node: fx.Node) -> Held:
        """For operators without a rule: all operands in the model's own order."""
        call = self.call_like(node, fx.map_arg((node.args, node.kwargs), self.plain))
        return Held(call, own_order(shape_of(node)) if is_tensor(node) else None)

    def call_like(self, node: fx.Node, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> fx.Node:
        """`node` itself if that is what it calls already, so that nothing changes needlessly."""
        args, kwargs = arguments
        assert callable(node.target)
        return node if (args, kwargs) == (node.args, node.kwargs) else self.editor.call(node.target, *args, **kwargs)

    def call(self, node: fx.Node, order: Order, *args: Any) -> Held:
        """The operator of `node` on `args`, all that its schema has, for a result held in `order`."""
        result = node
        if list(args) != call_arguments(node):
            assert isinstance(node.target, torch._ops.OpOverload)
            positional, named = [], {}
            for argument, value in zip(node.target._schema.arguments, args, strict=True):
                if not argument.kwarg_only:
                    positional.append(value)
                elif value is not None:
                    named[argument.name] = value
            result = self.editor.call(node.target, *positional, **named)
        return Held(result, normal(order, shape_of(node)) if is_tensor(node) else order)


# Each rule gives what holds the value of a node in the rewritten graph, or None if it does not know how.
Rule = Callable[[Sweep, fx.Node], Held | None]


def is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)


def wrap(axis: int, value: fx.Node) -> int:
    return axis % max(value.meta["val"].dim(), 1)


def convolve(sweep: Sweep, node: fx.Node) -> Held | None:
    if not is_rewritable(sweep.editor, node):
        return None
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = call_arguments(node)
    rank = x.meta["val"].dim()
    kernel = sweep.editor.weight(weight)
    assert kernel is not None
    if transposed:
        kernel = torch.cat([part.transpose(0, 1) for part in kernel.chunk(groups)])
    if rank == 3:
        kernel = kernel.unsqueeze(2)
        stride, dilation = [1, *stride], [1, *dilation]
        padding, output_padding = [0, *padding], [0, *output_padding]
    laid = sweep.editor.add_weight(f"{sweep.editor.weight_key(weight)}_channels_last", kernel.permute(0, 2, 3, 1))
    source = sweep.convert(x, normal(CHANNELS_LAST[rank], shape_of(x)))
    geometry = (stride, padding, dilation, transposed, output_padding, groups)
    result = sweep.editor.call(torch.ops.voxc.conv_channels_last.default, source, laid, bias, *geometry)
    return Held(result, normal(CHANNELS_LAST[rank], shape_of(node)))


def meet(sweep: Sweep, node: fx.Node) -> Held | None:
    """Elementwise, with broadcasting: operands in one order, so that as few elements as possible move."""
    rank = node.meta["val"].dim()
    operands = [operand for operand in node.all_input_nodes if is_tensor(operand)]
    order = choose_order(sweep, node, operands)

    def fitting(operand: fx.Node) -> fx.Node:
        if not is_tensor(operand):
            return sweep.held[operand].node
        wanted = aligned(order, operand, rank)
        if is_suffix(sweep.order(operand), wanted):
            return sweep.held[operand].node  # broadcasting adds the ones in front
        return sweep.convert(operand, wanted)

    result = sweep.call_like(node, fx.map_arg((node.args, node.kwargs), fitting))
    return Held(result, order[len(order) - result.meta["val"].dim() :])


def is_suffix(order: Order, longer: Order) -> bool:
    lacking = len(longer) - len(order)
    return lacking >= 0 and longer[lacking:] == order and not long_axes(longer[:lacking])


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
        wanted = {operand: aligned(order, operand, rank) for operand in operands}
        moving = [each for each in operands if not is_suffix(sweep.order(each), wanted[each])]
        return sum(sweep.cost(operand, wanted[operand]) for operand in moving)

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


def with_axis(order: Order, axis: int) -> Order:
    """`order` with `axis` in it, which may have size 1."""
    if axis in order:
        return order
    if None not in order:
        order = (None, *order)
    first = order.index(None)
    return (*order[:first], axis, *order[first + 1 :])


def hold_with(sweep: Sweep, value: fx.Node, axes: Iterable[int]) -> tuple[fx.Node, Order]:
    """The tensor that holds `value` and its order, in which `axes` are named even where their size is 1."""
    order = sweep.order(value)
    for axis in axes:
        order = with_axis(order, axis)
    return sweep.convert(value, normal(order, shape_of(value))), order


def along(sweep: Sweep, node: fx.Node) -> Held | None:
    """Operators along one axis, which is their argument called `dim`."""
    value, *rest = call_arguments(node)
    position = dim_position(node)
    axis = wrap(rest[position - 1], value)
    held, order = hold_with(sweep, value, [axis])
    rest[position - 1] = order.index(axis)
    return sweep.call(node, order, held, *rest)


def dim_position(node: fx.Node) -> int:
    assert isinstance(node.target, torch._ops.OpOverload)
    return [argument.name for argument in node.target._schema.arguments].index("dim")


def along_all(sweep: Sweep, node: fx.Node) -> Held | None:
    """Operators over several axes that leave them in place: a flip, and a mean that keeps its axes."""
    value, dims, *rest = call_arguments(node)
    if node.target is aten.mean.dim and not rest[0]:
        return None
    axes = [wrap(dim, value) for dim in dims]
    held, order = hold_with(sweep, value, axes)
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
    held, order = hold_with(sweep, value, pairs)
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
    wanted = [axis for old, _ in groups for axis in old]
    held = sweep.held[value].node if wanted == now else sweep.convert(value, tuple(wanted))
    order = tuple(axis for _, new in groups for axis in new)
    return Held(sweep.view(held, [sweep.now(sizes[axis]) for axis in order]), order)


RULES: dict[Any, Rule] = {
    aten.convolution.default: convolve,
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
