"""Recurrent layers are written out in time, for runtimes that have none.

    before:  y [B, T, D * H] = gru(x [B, T, I], inner, recurrent, bias)
    after:   g [D, T, B, 3 H] = x and its reversal, times inner; then for each t
             p = bmm(state, recurrent);  update, reset = sigmoid(g[t, :2 H] + p[:2 H])
             candidate = tanh(g[t, 2 H:] + reset * (p[2 H:] + bias));  state = candidate + update * (state - candidate)

The two directions share a step, as a batch of two, which halves the nodes: 16 a frame. They are copies of those of the
first frame, as inferring the shapes of each would take most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::gru
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, Refused, anything, call_to, rewrite_matches
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten

#: Makes a node of the graph: its target, and its arguments.
Call = Callable[..., fx.Node]

GRU = call_to(torch.ops.voxc.gru.default, anything("x"))


@dataclass(frozen=True)
class UnrollRecurrent(Rewrite):
    """Writes out recurrent layers of at most `most_steps`."""

    after: ClassVar[tuple[str, ...]] = ("hoist_noise",)

    most_steps: int = 4096

    def applies(self, target: Target) -> bool:
        return not target.recurrent

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        def rewrite(match: Match, steps: int) -> str:
            editor.replace(match.node, unrolled(editor, match.node, steps))
            return f"a recurrent layer of {steps} steps written out"

        yield from rewrite_matches(editor, GRU, self.check, rewrite, refusal="a recurrent layer stays")

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, GRU, self.check)

    def check(self, match: Match) -> int:
        """The number of steps.

        Raises:
            Refused: they are too many, or not known.
        """
        steps = match["x"].meta["val"].shape[1]
        if not isinstance(steps, int):
            raise Refused("the number of its steps is not known")
        if steps > self.most_steps:
            raise Refused(f"it has {steps} steps, more than {self.most_steps}")
        return steps


def unrolled(editor: GraphEditor, node: fx.Node, steps: int) -> fx.Node:
    layer = Layer.of(editor, node)
    state = editor.call(aten.full.default, layer.state, 0.0, dtype=torch.float32)
    first: list[fx.Node] = []

    def record(target: Any, *args: Any) -> fx.Node:
        first.append(editor.call(target, *args))
        return first[-1]

    states = [layer.step(record, 0, state)]
    for time in range(1, steps):
        states.append(layer.step(copies(editor, first), time, states[-1]))
    return joined(editor, states)


def copies(editor: GraphEditor, nodes: list[fx.Node]) -> Call:
    """Calls whose values are known: those of `nodes`, in order."""
    known = iter(nodes)

    def call(target: Any, *args: Any) -> fx.Node:
        node = editor.graph.call_function(target, args)
        node.meta = dict(next(known).meta)
        return node

    return call


@dataclass(frozen=True)
class Layer:
    """What all steps share. `opened` [D, T, B, 2 H] and `candidates` [D, T, B, H] are the input's share of the gates,
    `recurrent` [D, H, 3 H]; `last` [D, 1, H] is the bias inside the reset; `state` is the shape of a state."""

    opened: fx.Node
    candidates: fx.Node
    recurrent: fx.Node
    last: fx.Node
    state: list[int]

    @classmethod
    def of(cls, editor: GraphEditor, node: fx.Node) -> Layer:
        x, inner, recurrent, bias = call_arguments(node)
        call, hidden = editor.call, recurrent.meta["val"].shape[2]
        directions, (batch, steps, width) = inner.meta["val"].shape[0], x.meta["val"].shape
        gates = 3 * hidden

        def part(source: fx.Node, axis: int, start: int, end: int) -> fx.Node:
            return call(aten.slice.Tensor, source, axis, start, end)

        ways = [x] if directions == 1 else [x, call(aten.flip.default, x, [1])]
        rows = call(aten.cat.default, [call(aten.view.default, way, [1, batch * steps, width]) for way in ways])
        product = call(aten.bmm.default, rows, call(aten.permute.default, inner, [0, 2, 1]))
        # The recurrent bias of update and reset adds up with the input's.
        both = call(aten.add.Tensor, part(bias, 1, 0, 2 * hidden), part(bias, 1, gates, gates + 2 * hidden))
        sums = call(aten.cat.default, [both, part(bias, 1, 2 * hidden, gates)], 1)
        product = call(aten.add.Tensor, product, call(aten.unsqueeze.default, sums, 1))
        product = call(aten.view.default, product, [directions, batch, steps, gates])
        return cls(
            opened=part(product, 3, 0, 2 * hidden),
            candidates=part(product, 3, 2 * hidden, gates),
            recurrent=call(aten.permute.default, recurrent, [0, 2, 1]),
            last=call(aten.unsqueeze.default, part(bias, 1, gates + 2 * hidden, 2 * gates), 1),
            state=[directions, batch, hidden],
        )

    def step(self, call: Call, time: int, state: fx.Node) -> fx.Node:
        """The state after the frame at `time`."""
        hidden = self.state[2]
        product = call(aten.bmm.default, state, self.recurrent)
        opened = call(aten.select.int, self.opened, 2, time)
        gates = call(
            aten.sigmoid.default,
            call(aten.add.Tensor, opened, call(aten.slice.Tensor, product, 2, 0, 2 * hidden)),
        )
        update, reset = (call(aten.slice.Tensor, gates, 2, place * hidden, (place + 1) * hidden) for place in (0, 1))
        own = call(aten.add.Tensor, call(aten.slice.Tensor, product, 2, 2 * hidden, 3 * hidden), self.last)
        offered = call(aten.select.int, self.candidates, 2, time)
        candidate = call(aten.tanh.default, call(aten.add.Tensor, offered, call(aten.mul.Tensor, reset, own)))
        kept = call(aten.mul.Tensor, update, call(aten.sub.Tensor, state, candidate))
        return call(aten.add.Tensor, candidate, kept)


def joined(editor: GraphEditor, states: list[fx.Node]) -> fx.Node:
    """States [D, B, H] of all steps as [B, T, D * H]."""
    call = editor.call
    whole = call(aten.cat.default, [call(aten.unsqueeze.default, state, 2) for state in states], 2)
    ways = [call(aten.select.int, whole, 0, way) for way in range(whole.meta["val"].shape[0])]
    if len(ways) == 1:
        return ways[0]
    return call(aten.cat.default, [ways[0], call(aten.flip.default, ways[1], [1])], 2)
