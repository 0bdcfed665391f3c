"""Signals that are too long for the hardware run as overlapped rows, from the upsampling that makes them so.

    before:  y [1, C, 1, 4 L] = ... conv(conv_transpose(conv(conv_transpose(x [1, C, 1, L])) + conv(source)))
    after:   rows [1, C, R, W] = overlapping windows of x, and of source;  the same calls on them
             y = the middles of the rows, joined

Kernels have height 1, so that rows on the second axis of space need no other weights, and lie in the engine as its own
rows do. Neighbouring rows overlap by the halo: how far a wrong value at the edge of a row can travel on the way to
the end, so that the middles are exact. The outer edges are the signal's own and see the same zeros as before.

`FoldTimeIntoRows` does the like with stages of one length, for the sake of a runtime's kernels; here lengths change on
the way, and windows are cut where the signal is still short, so that nothing long is left but what goes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.convolutions import has_constants
from voxc.passes.layout.rows import ELEMENTWISE, Rows

aten = torch.ops.aten
ROWS, TIME = 2, 3


@dataclass(frozen=True)
class FoldWidth(Rewrite):
    """Folds what follows an upsampling to more than the target's `fold_width`; `most_overlap` is the share of samples
    that may be computed twice."""

    after: ClassVar[tuple[str, ...]] = ("ane_layout",)

    most_overlap: float = 0.1

    def applies(self, target: Target) -> bool:
        return target.fold_width is not None and target.layout == "ane"

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        assert target.fold_width is not None
        tail = find_tail(editor, target.fold_width)
        if tail is None:
            return
        place = f"{tail.place} and what follows: {tail.longest} samples"
        rows = self.choose_rows(tail, target.fold_width)
        if rows is None:
            most = f"{self.most_overlap:.0%}"
            yield f"{place} stay one row: rows of {target.fold_width} would overlap by more than {most}"
            return
        shape = f"{rows.count} rows of {rows.width * tail.longest // tail.base}"
        Folding(editor, tail, rows).rewrite()
        yield f"{place} as {shape}, overlapping by {rows.halo} of {tail.base} samples"

    def choose_rows(self, tail: Tail, most: int) -> Rows | None:
        """As few rows as are short enough; None if the overlap would cost too much before they are."""
        count = 1
        while True:
            count += 1
            rows = Rows.of(tail.base, count, tail.halo)
            if rows.count * rows.width > (1 + self.most_overlap) * tail.base:
                return None
            if rows.width * tail.longest // tail.base <= most and (count - 1) * rows.step < tail.base:
                return rows


@dataclass
class Tail:
    """Calls on signals [1, C, 1, S] of lengths that are multiples of `base`; `reach` is how many samples of a result
    are wrong at an edge of a row."""

    base: int
    nodes: list[fx.Node]
    reach: dict[fx.Node, int] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        return max(length_of(node) for node in self.nodes)

    @property
    def halo(self) -> int:
        """In samples of `base`."""
        return max(-(-reach * self.base // length_of(node)) for node, reach in self.reach.items())

    @property
    def place(self) -> str:
        return module_path(self.nodes[0]) or self.nodes[0].name


def find_tail(editor: GraphEditor, most: int) -> Tail | None:
    """What follows the upsampling to more than `most` samples, as far as it is local in time; None if there is none."""
    inside: set[fx.Node] = set()
    for node in editor.graph.nodes:
        if is_local(editor, node, most) and (is_upsampling(node) or not inside.isdisjoint(node.all_input_nodes)):
            inside.add(node)
    if not inside:
        return None
    for node in reversed(editor.graph.nodes):  # what is computed for the tail alone, as the source's convolutions
        if is_local(editor, node, most) and node.users and inside.issuperset(node.users):
            inside.add(node)
    nodes = [node for node in editor.graph.nodes if node in inside]
    lengths = [length_of(each) for node in nodes for each in (node, *signals(node))]
    tail = Tail(min(lengths), nodes)
    if any(length % tail.base for length in lengths):
        return None
    for node in nodes:
        tail.reach[node] = reach_of(node, max((tail.reach.get(each, 0) for each in signals(node)), default=0))
    return tail


def is_local(editor: GraphEditor, node: fx.Node, most: int) -> bool:
    """Whether a call gives more than `most` samples [1, C, 1, S], each from the surroundings of its place."""
    if node.op != "call_function" or length_of(node) <= most or not signals(node):
        return False
    if node.target in ELEMENTWISE:
        return all(length_of(each) in (1, length_of(node)) for each in tensors(node))
    if node.target is not aten.convolution.default:
        return False
    source, weight, _, stride, _, _, transposed, output_padding, _ = call_arguments(node)
    inner, outer = (source, node) if transposed else (node, source)
    flat = weight.meta["val"].shape[ROWS] == 1 and not any(output_padding)
    return has_constants(editor, node) and flat and length_of(outer) == stride[1] * length_of(inner)


def is_upsampling(node: fx.Node) -> bool:
    return node.target is aten.convolution.default and call_arguments(node)[6]


def length_of(node: fx.Node) -> int:
    """The samples of a signal [1, C, 1, S]; 0 if a node gives something else, 1 for numbers."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or not all(isinstance(size, int) for size in value.shape):
        return 0
    if value.numel() == 1:
        return 1
    return value.shape[TIME] if value.dim() == 4 and (value.shape[0], value.shape[ROWS]) == (1, 1) else 0


def tensors(node: fx.Node) -> list[fx.Node]:
    return [call_arguments(node)[0]] if node.target is aten.convolution.default else node.all_input_nodes


def signals(node: fx.Node) -> list[fx.Node]:
    """The operands of a call that have a sample for each of several places."""
    return [each for each in tensors(node) if length_of(each) > 1]


def reach_of(node: fx.Node, before: int) -> int:
    """How many samples of a result are wrong at an edge, where `before` of its operand are and zeros lie beyond."""
    if node.target is not aten.convolution.default:
        return before
    _, weight, _, stride, padding, dilation, transposed, *_ = call_arguments(node)
    step, margin = stride[1], padding[1]
    span = (weight.meta["val"].shape[TIME] - 1) * dilation[1]
    if transposed:
        return before * step + max(span + 1 - margin - step, margin, 0)
    return max(-(-(before + margin) // step), -(-(before - margin + span + 1 - step) // step), 0)


class Folding:
    """The rewriting of a tail into rows. Its calls stay the nodes that they are, by whose names a plan knows them: at
    another length there are more rows or fewer, and the same calls."""

    def __init__(self, editor: GraphEditor, tail: Tail, rows: Rows) -> None:
        self.editor = editor
        self.tail = tail
        self.rows = rows
        self.folded: dict[fx.Node, fx.Node] = {}

    def rewrite(self) -> None:
        inside = set(self.tail.nodes)
        lengths = {node: length_of(node) for node in self.tail.nodes}
        entering = {node: [each for each in signals(node) if each not in inside] for node in self.tail.nodes}
        for node in self.tail.nodes:
            with self.editor.before(node):
                for signal in entering[node]:
                    if signal not in self.folded:
                        self.folded[signal] = self.fold(signal)
            for signal in entering[node]:
                node.replace_input_with(signal, self.folded[signal])
            self.editor.infer(node)
        for node in self.tail.nodes:
            leaving = [user for user in node.users if user not in inside]
            if leaving:
                with self.editor.before(node.next):
                    joined = self.unfold(node, lengths[node])
                for user in leaving:
                    user.replace_input_with(node, joined)
        self.editor.modified = True

    def fold(self, signal: fx.Node) -> fx.Node:
        """[1, C, 1, S] -> [1, C, R, W]."""
        times = length_of(signal) // self.tail.base
        width = times * self.rows.width
        windows = [
            self.editor.call(aten.slice.Tensor, signal, TIME, times * start, times * start + width)
            for start in self.rows.starts
        ]
        return self.editor.call(aten.cat.default, windows, ROWS)

    def unfold(self, rows: fx.Node, length: int) -> fx.Node:
        """[1, C, R, W] -> [1, C, 1, S]: of each row the part that is its own."""
        times = length // self.tail.base
        parts = []
        for row, (first, end) in enumerate(self.rows.own(times)):
            part = self.editor.call(aten.slice.Tensor, rows, ROWS, row, row + 1)
            parts.append(self.editor.call(aten.slice.Tensor, part, TIME, first, end))
        return self.editor.call(aten.cat.default, parts, TIME)
