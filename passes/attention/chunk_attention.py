"""Attention in chunks, one for each head, on the axes that Apple's Neural Engine has for channels and time.

    before:  heads [H, T, D] of q, k, v;  softmax(q @ k^T) @ v;  heads joined, with a permute each
    after:   for each head: q, v [1, D, 1, T] cut from the channels, k^T [1, T, 1, D] from keys transposed once,
             w = softmax(k^T x q, axis 1) [1, T, 1, T];  v x w [1, D, 1, T];  joined along the channels

This is the form of Apple's "Deploying Transformers on the Apple Neural Engine" (2022): chunks keep what is in flight in
the engine's own memory and give its cores independent work, and one permute for each layer is left.

Relative positions (VITS) look up a vector by the distance of a key from its query. Cores without gather do that by
padding and viewing [T, T] anew, which moves everything through memory, along an axis of T * T. Here products do it.
A query at place p needs R = 2 W + 1 distances, and the keys k = p - W ... p + W have each remainder k mod R once; so

    s = scores of all remainders for all p mod R [R * R, T]  = table rotated R times [R * R, D] x q
    s = those for its own p mod R, repeated over the keys    = spread [T, R * R] x (s * own [R * R, T])
    scores + s * near [T, T]                                   near is 1 where |k - p| <= W

`spread`, `own` and `near` have zeros and ones, and all sums but the first have one term: they round nothing, in
float16 neither. Values take the way back: spread^T x (w * near), times own, into the rotated table.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::matmul_channels
from voxc.compiler.core.target import Target
from voxc.passes.attention.match import Attention, Offsets, attention_around
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, call_to, rewrite_matches
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten
MATMUL = torch.ops.voxc.matmul_channels.default
#: Axes of [B, C, 1, S].
CHANNELS, TIME = 1, 3

SOFTMAX = call_to(aten._softmax.default)


@dataclass(frozen=True)
class ChunkAttention(Rewrite):
    """Rewrites self-attention of batch 1 where the target has signals of rank 4."""

    after: ClassVar[tuple[str, ...]] = ("ane_layout",)

    def applies(self, target: Target) -> bool:
        return target.layout == "ane"

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        constants = Constants(editor)
        heads: list[int] = []

        def check(match: Match) -> Attention | None:
            return None if is_chunk(match.node) else attention_around(editor, match.node)

        def rewrite(match: Match, attention: Attention) -> None:
            Chunking(editor, constants, attention).rewrite()
            heads.append(attention.heads)

        refusals = list(rewrite_matches(editor, SOFTMAX, check, rewrite, refusal="attention stays as it is"))
        if heads:
            yield f"{len(heads)} layers of attention in {sum(heads)} chunks, with a permute for each layer"
        yield from refusals


def is_chunk(softmax: fx.Node) -> bool:
    return bool(softmax.meta["val"].dim() == 4 and softmax.args[1] == CHANNELS)


@dataclass
class Constants:
    """The matrices that layers and heads share: those of zeros and ones, and tables of relative positions."""

    editor: GraphEditor
    made: dict[tuple[str, int, int] | tuple[str, int, bool], fx.Node] = field(default_factory=dict)

    def get(self, name: str, distances: int, length: int) -> fx.Node:
        key = name, distances, length
        if key not in self.made:
            self.made[key] = self.editor.add_weight(f"relative_{name}", self.make(name, distances, length))
        return self.made[key]

    def table(self, offsets: Offsets, head: int, turned: bool) -> fx.Node:
        """The rotated table of a head as the weight of a convolution, [R * R, D, 1, 1], or `turned` [D, R * R, 1, 1].

        Heads that have the same table, as those of VITS do, share it.
        """
        tables = offsets.table
        first = next(each for each in range(head + 1) if torch.equal(tables[each], tables[head]))
        key = offsets.key, first, turned
        if key not in self.made:
            weight = rotated(tables[first])
            weight = weight.t() if turned else weight
            self.made[key] = self.editor.add_weight(f"{offsets.key}_rotated", weight[:, :, None, None])
        return self.made[key]

    def make(self, name: str, distances: int, length: int) -> Tensor:
        place = torch.arange(length)
        row = torch.arange(distances * distances)
        if name == "near":
            return ((place[:, None] - place).abs() <= distances // 2).float().view(1, length, 1, length)
        if name == "own":
            return (row[:, None] // distances == place % distances).float().view(1, len(row), 1, length)
        spread = (place[:, None] % distances == row % distances).float()
        return (spread if name == "spread" else spread.t())[:, :, None, None]


def rotated(table: Tensor) -> Tensor:
    """[D, R] as [R * R, D]: for each p mod R and each k mod R, the vector of the distance that both have."""
    distances = table.shape[1]
    place, key = torch.arange(distances)[:, None], torch.arange(distances)
    return table.t()[(key - place + distances // 2) % distances].flatten(0, 1)


class Chunking:
    """The rewriting of one layer of attention."""

    def __init__(self, editor: GraphEditor, constants: Constants, attention: Attention) -> None:
        self.editor = editor
        self.constants = constants
        self.attention = attention
        _, self.width, _, self.length = attention.query.meta["val"].shape

    def rewrite(self) -> None:
        attention, call = self.attention, self.editor.call
        with self.editor.before(attention.result):
            queries = self.split(self.scaled(attention.query, attention.scale), CHANNELS)
            keys = self.split(call(aten.permute.default, attention.key, [0, TIME, 2, CHANNELS]), TIME)
            values = self.split(attention.value, CHANNELS)
            queries_for_offsets = queries
            if attention.key_offsets is not None and attention.offset_scale != attention.scale:
                queries_for_offsets = self.split(self.scaled(attention.query, attention.offset_scale), CHANNELS)
            operands = zip(queries, keys, values, queries_for_offsets, strict=True)
            parts = [self.attend(head, *each) for head, each in enumerate(operands)]
            joined = call(aten.cat.default, parts, CHANNELS) if len(parts) > 1 else parts[0]
        self.editor.replace(attention.result, joined)

    def scaled(self, signal: fx.Node, scale: float) -> fx.Node:
        return signal if scale == 1 else self.editor.call(aten.mul.Tensor, signal, scale)

    def split(self, signal: fx.Node, axis: int) -> list[fx.Node]:
        heads = self.attention.heads
        if heads == 1:
            return [signal]
        parts = self.editor.call(aten.split_with_sizes.default, signal, [self.width // heads] * heads, axis)
        return [self.editor.call(operator.getitem, parts, head) for head in range(heads)]

    def attend(self, head: int, query: fx.Node, key: fx.Node, value: fx.Node, shifted: fx.Node) -> fx.Node:
        attention, call = self.attention, self.editor.call
        scores = call(MATMUL, key, query)
        if attention.key_offsets is not None:
            scores = call(aten.add.Tensor, scores, self.relative_scores(attention.key_offsets, head, shifted))
        weights = call(aten._softmax.default, scores, CHANNELS, False)
        result = call(MATMUL, value, weights)
        if attention.value_offsets is not None:
            result = call(aten.add.Tensor, result, self.relative_values(attention.value_offsets, head, weights))
        return result

    def relative_scores(self, offsets: Offsets, head: int, query: fx.Node) -> fx.Node:
        every = self.product(self.constants.table(offsets, head, turned=False), query)
        own = self.editor.call(aten.mul.Tensor, every, self.constant("own", offsets))
        by_key = self.product(self.constant("spread", offsets), own)
        return self.editor.call(aten.mul.Tensor, by_key, self.constant("near", offsets))

    def relative_values(self, offsets: Offsets, head: int, weights: fx.Node) -> fx.Node:
        near = self.editor.call(aten.mul.Tensor, weights, self.constant("near", offsets))
        every = self.product(self.constant("gather", offsets), near)
        own = self.editor.call(aten.mul.Tensor, every, self.constant("own", offsets))
        return self.product(self.constants.table(offsets, head, turned=True), own)

    def constant(self, name: str, offsets: Offsets) -> fx.Node:
        return self.constants.get(name, offsets.table.shape[2], self.length)

    def product(self, weight: fx.Node, signal: fx.Node) -> fx.Node:
        geometry = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
        return self.editor.call(aten.convolution.default, signal, weight, None, *geometry)
