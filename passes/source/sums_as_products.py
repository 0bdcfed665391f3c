"""Cumulative sums become products with a triangle of ones.

    before:  y [B, T] = cumsum(x, 1)
    after:   y [B, T] = mm(x, triangle [T, T])                      triangle[i, j] = 1 where i <= j

             n = numbers[:T];  triangle = n + 0.5 > n[:, None]      where T is not known, of numbers 0, 1, 2, ...

For runtimes that have no scan. TensorRT's parser makes a loop of one: a step for each frame, in layers without names,
which no plan of precisions could reach, and what is summed up here are phases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from voxc.compiler.core.axis import MAX_FRAMES
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, Refused, anything, call_to, rewrite_matches
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten


SUM = call_to(aten.cumsum.default, anything("x"), anything("axis"))


@dataclass(frozen=True)
class SumsAsProducts(Rewrite):
    """Rewrites cumulative sums of at most `most_length` numbers, whose triangle then takes as much as a small layer."""

    after: ClassVar[tuple[str, ...]] = ("frame_rate_source_phase", "clean_up")

    most_length: int = 1024

    def applies(self, target: Target) -> bool:
        return not target.scans

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        triangles: dict[str, fx.Node] = {}

        def rewrite(match: Match, total: Sum) -> str:
            key = str(total.length)
            if key not in triangles:
                triangles[key] = triangle(editor, total)
            editor.replace(match.node, product(editor, total, triangles[key]))
            return f"a cumulative sum of {key if isinstance(total.length, int) else 'all frames'} as a product"

        yield from rewrite_matches(editor, SUM, self.check, rewrite, refusal="a cumulative sum stays")

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, SUM, self.check)

    def check(self, match: Match) -> Sum:
        """
        Raises:
            Refused: the numbers are too many, are no floats, or are not known to be few.
        """
        summed, result = match["x"].meta["val"], match.node.meta["val"]
        if summed.dtype is not torch.float32 or result.dtype is not torch.float32:
            raise Refused(f"it is of {summed.dtype}")
        if summed.dim() == 0 or hint(summed.shape[match["axis"]]) > self.most_length:
            raise Refused(f"it is over more than {self.most_length} numbers")
        total = Sum(match["x"], match["axis"] % summed.dim(), summed.shape[match["axis"]])
        if all(isinstance(size, int) for size in summed.shape):
            return total
        if summed.dim() != 2 or not statically_known_true(total.length <= MAX_FRAMES):
            raise Refused("its length is not known")
        return total


@dataclass(frozen=True)
class Sum:
    """A cumulative sum of `x` over the `length` numbers along `axis`."""

    x: fx.Node
    axis: int
    length: int | torch.SymInt


def hint(size: int | torch.SymInt) -> int:
    """A size, for the segment where it depends on that."""
    return size if isinstance(size, int) else int(size.node.hint)


def triangle(editor: GraphEditor, total: Sum) -> fx.Node:
    """Ones on and above the diagonal, as long and as wide as the sum is."""
    if isinstance(total.length, int):
        return editor.add_weight(f"triangle_{total.length}", torch.ones(total.length, total.length).triu())
    call, numbers = editor.call, editor.add_weight("frame_numbers", torch.arange(MAX_FRAMES, dtype=torch.float32))
    places = call(aten.slice.Tensor, numbers, 0, 0, call(aten.sym_size.int, total.x, total.axis))
    columns = call(aten.add.Tensor, call(aten.unsqueeze.default, places, 0), 0.5)
    above = call(aten.gt.Tensor, columns, call(aten.unsqueeze.default, places, 1))
    return call(aten._to_copy.default, above, dtype=torch.float32)


def product(editor: GraphEditor, total: Sum, triangle: fx.Node) -> fx.Node:
    """What is summed up as rows, times the triangle, and back."""
    x, axis = total.x, total.axis
    shape = list(x.meta["val"].shape)
    order = [*(place for place in range(len(shape)) if place != axis), axis]
    moved = [shape[place] for place in order]
    turned = order != sorted(order)
    rows = editor.call(aten.permute.default, x, order) if turned else x
    if len(shape) != 2:
        rows = editor.call(aten.view.default, contiguous(editor, rows), [math.prod(moved[:-1]), moved[-1]])
    summed = editor.call(aten.mm.default, rows, triangle)
    if len(shape) != 2:
        summed = editor.call(aten.view.default, summed, moved)
    return (
        editor.call(aten.permute.default, summed, [order.index(place) for place in range(len(order))])
        if turned
        else summed
    )


def contiguous(editor: GraphEditor, node: fx.Node) -> fx.Node:
    """A copy that lies in order, where a permutation has left it otherwise."""
    if node.meta["val"].is_contiguous():
        return node
    return editor.call(aten.clone.default, node, memory_format=torch.contiguous_format)
