"""Finds attention in a graph whose signals are [B, C, 1, S], however its heads are moved about in between.

What views, permutes, pads and slices do to a value is seen by doing it to numbered elements: a query is one if its
elements come out where those of a query belong. So no particular spelling is expected, and none is taken for another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from voxc.compiler.core.nodes import call_arguments, is_weight
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Refused

aten = torch.ops.aten

MOVES = frozenset(
    {
        aten.view.default, aten.permute.default, aten.clone.default, aten.unsqueeze.default, aten.squeeze.dims,
        aten.slice.Tensor, aten.constant_pad_nd.default,
    }
)  # fmt: skip
SCALES: dict[object, Callable[[float], float]] = {aten.mul.Tensor: float, aten.div.Tensor: lambda number: 1 / number}


@dataclass(frozen=True)
class Moved:
    """An operand as `source`, times `scale`, after the calls in `path`."""

    source: fx.Node
    scale: float
    path: tuple[fx.Node, ...]

    def come_from(self) -> Tensor:
        """For each element of the operand, which one of the source it is, from 1; 0 for a zero that was added."""
        return replay(self.path, numbered(self.source.meta["val"].shape))


@dataclass(frozen=True)
class Offsets:
    """Relative positions: `table` [H, D, R] has a vector for each head and each distance of a key from its query, from
    -(R - 1) / 2 to (R - 1) / 2; keys further away have none. `key` is its name in the model."""

    key: str
    table: Tensor


@dataclass(frozen=True)
class Attention:
    """Self-attention of `heads` heads: `query`, `key` and `value` are [1, H * D, 1, T], and so is `result`.

    Weights are softmax(scale * q @ k + offset_scale * q @ key_offsets), the result is weights @ v + weights @
    value_offsets.
    """

    heads: int
    query: fx.Node
    key: fx.Node
    value: fx.Node
    scale: float
    offset_scale: float
    key_offsets: Offsets | None
    value_offsets: Offsets | None
    result: fx.Node


def attention_around(editor: GraphEditor, softmax: fx.Node) -> Attention:
    """The attention around a softmax.

    Raises:
        Refused: it is something else; the message says what is in the way.
    """
    scores, axis, _ = call_arguments(softmax)
    shape = softmax.meta["val"].shape
    if len(shape) != 3 or axis % 3 != 2 or shape[1] != shape[2] or not all(isinstance(size, int) for size in shape):
        raise Refused("its scores are not [H, T, T], those of T keys for each of T queries")
    products, offset_scores = terms(editor, scores)
    query, key = (trace(each) for each in call_arguments(products))
    heads, length = shape[0], shape[1]
    width = channels_of(query.source, heads, length)
    expect(query.come_from(), heads_of(width, heads, length).transpose(1, 2), "the queries")
    expect(key.come_from(), heads_of(width, heads, length), "the keys")
    channels_of(key.source, heads, length)
    key_offsets, offset_scale = offsets_on_scores(editor, offset_scores, query)
    value, value_offsets, result = applied(editor, softmax)
    expect(value.come_from(), heads_of(width, heads, length).transpose(1, 2), "the values")
    if value.scale != 1 or channels_of(value.source, heads, length) != width:
        raise Refused("its values are not as wide as its queries")
    scale = query.scale * key.scale
    return Attention(
        heads, query.source, key.source, value.source, scale, offset_scale, key_offsets, value_offsets,
        joined(result, width, heads, length),
    )  # fmt: skip


def numbered(shape: torch.Size) -> Tensor:
    return torch.arange(1, shape.numel() + 1).reshape(shape)


def heads_of(width: int, heads: int, length: int) -> Tensor:
    """[H, D, T] of the elements of a signal [1, H * D, 1, T]."""
    return numbered(torch.Size([heads, width // heads, length]))


def replay(path: tuple[fx.Node, ...], value: Tensor) -> Tensor:
    for node in path:
        if node.target in MOVES:
            assert isinstance(node.target, torch._ops.OpOverload)
            value = node.target(value, *node.args[1:], **node.kwargs)
    return value


def expect(actual: Tensor, expected: Tensor, what: str) -> None:
    if actual.shape != expected.shape or not torch.equal(actual, expected):
        raise Refused(f"{what} are not heads of a signal [1, C, 1, T]")


def channels_of(source: fx.Node, heads: int, length: int) -> int:
    shape = source.meta["val"].shape
    if len(shape) != 4 or (shape[0], shape[2], shape[3]) != (1, 1, length) or shape[1] % heads:
        raise Refused(f"{source.name} is not a signal [1, C, 1, {length}]")
    return int(shape[1])


def trace(operand: object) -> Moved:
    """Where an operand comes from, through what moves it and multiplies it by a number."""
    path: list[fx.Node] = []
    scale = 1.0
    while isinstance(operand, fx.Node) and operand.op == "call_function":
        source, *rest = operand.args
        if operand.target in SCALES and isinstance(rest[0], int | float):
            scale *= SCALES[operand.target](rest[0])
        elif operand.target not in MOVES or (operand.target is aten.constant_pad_nd.default and any(rest[1:])):
            break
        path.insert(0, operand)
        operand = source
    if not isinstance(operand, fx.Node):
        raise Refused("an operand is no tensor")
    return Moved(operand, scale, tuple(path))


def terms(editor: GraphEditor, scores: fx.Node) -> tuple[fx.Node, Moved | None]:
    """The product of queries and keys, and what is added to it, by the distance of a key from its query."""
    summands = [trace(each) for each in scores.args[:2]] if scores.target is aten.add.Tensor else [trace(scores)]
    products: list[Moved] = []
    offsets: list[Moved] = []
    for each in summands:
        if each.source.target is not aten.bmm.default:
            raise Refused(f"{each.source.name} is added to its scores")
        (offsets if is_weight(editor, each.source.args[1]) else products).append(each)
    if len(products) != 1 or len(offsets) > 1 or products[0].scale != 1:
        raise Refused("its scores are not one product of queries and keys")
    product = products[0]
    expect(product.come_from(), numbered(product.source.meta["val"].shape), "the scores")
    return product.source, offsets[0] if offsets else None


def offsets_on_scores(editor: GraphEditor, scores: Moved | None, query: Moved) -> tuple[Offsets | None, float]:
    if scores is None:
        return None, 1.0
    queries, table = call_arguments(scores.source)
    traced = trace(queries)
    if traced.source is not query.source or not torch.equal(traced.come_from(), query.come_from()):
        raise Refused("its relative positions are not for its own queries")
    tensor = editor.weight(table)
    assert tensor is not None
    heads, length, distances = scores.source.meta["val"].shape
    by_distance = numbered(torch.Size([heads, length, distances]))
    expect(scores.come_from(), from_distances(by_distance), "the scores of relative positions")
    return Offsets(editor.weight_key(table), tensor), traced.scale * scores.scale


def from_distances(by_distance: Tensor) -> Tensor:
    """[H, T, R] by distance as [H, T, T] by key: 0 where a key is too far away."""
    heads, length, distances = by_distance.shape
    reach = distances // 2
    if distances % 2 == 0:
        raise Refused("its relative positions reach further to one side")
    place = torch.arange(length) - torch.arange(length)[:, None] + reach  # [query, key]
    near = (place >= 0) & (place < distances)
    rows = place.clamp(0, distances - 1).expand(heads, length, length)
    return torch.where(near, by_distance.gather(2, rows), 0)


def to_distances(by_key: Tensor, distances: int) -> Tensor:
    """[H, T, T] by key as [H, T, R] by distance: 0 where there is no key."""
    heads, length, _ = by_key.shape
    place = torch.arange(distances) + torch.arange(length)[:, None] - distances // 2  # [query, distance]
    rows = place.clamp(0, length - 1).expand(heads, length, distances)
    return torch.where((place >= 0) & (place < length), by_key.gather(2, rows), 0)


def applied(editor: GraphEditor, softmax: fx.Node) -> tuple[Moved, Offsets | None, fx.Node]:
    """The values that the weights are applied to, the relative ones among them, and the sum of both."""
    products = [node for node in editor.calls(aten.bmm.default) if trace(node.args[0]).source is softmax]
    reached = {node for product in products for node in trace(product.args[0]).path} | set(products)
    if not all(user in reached for node in (softmax, *reached - set(products)) for user in node.users):
        raise Refused("its weights are used for something else")
    weights = numbered(softmax.meta["val"].shape)
    values = [each for each in products if not is_weight(editor, each.args[1])]
    tables = [each for each in products if each not in values]
    if len(values) != 1 or len(tables) > 1:
        raise Refused("its weights are not applied to one set of values")
    expect(trace(values[0].args[0]).come_from(), weights, "the weights")
    value = trace(values[0].args[1])
    if not tables:
        return value, None, values[0]
    weight, positions = call_arguments(tables[0])
    moved, table = trace(weight), editor.weight(positions)
    assert table is not None
    if moved.scale != 1 or table.shape[1] % 2 == 0:
        raise Refused("its relative values are scaled, or reach further to one side")
    expect(moved.come_from(), to_distances(weights, table.shape[1]), "the weights of relative positions")
    offsets = Offsets(editor.weight_key(positions), table.transpose(1, 2))
    return value, offsets, the_sum(values[0], tables[0])


def the_sum(values: fx.Node, offsets: fx.Node) -> fx.Node:
    users = [*values.users, *offsets.users]
    if len(set(users)) != 1 or users[0].target is not aten.add.Tensor:
        raise Refused("its relative values are not added to its values")
    return users[0]


def joined(result: fx.Node, width: int, heads: int, length: int) -> fx.Node:
    """The node that has the heads of `result` [H, T, D] as one signal [1, H * D, 1, T]."""
    signal = numbered(torch.Size([1, width, 1, length]))
    value = heads_of(width, heads, length).transpose(1, 2)
    while len(result.users) == 1:
        (result,) = result.users
        if result.target not in MOVES:
            break
        value = replay((result,), value)
        if value.shape == signal.shape and torch.equal(value, signal):
            return result
    raise Refused("its heads do not join to a signal [1, C, 1, T]")
