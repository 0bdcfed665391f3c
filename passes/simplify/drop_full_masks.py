"""Masks that let everything through vanish.

    before:  mask = arange(T) < full([1], T);  x = x * mask;  scores = where(mask == 0, -1e4, scores)
    after:   x = x;  scores = scores

With one segment and all frames valid, a VITS-style network multiplies by ones dozens of times. Nothing is assumed: a
mask goes only where its values are proven, for symbolic lengths too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import fx

from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor, same_shape
from voxc.passes.kit.pattern import Call, Match, anything, call_to, where
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.kit.value_ranges import ValueRanges

aten = torch.ops.aten

SELECTION = call_to(aten.where.self, anything("condition"), anything("if_true"), anything("if_false"))


@dataclass(frozen=True)
class DropFullMasks(Rewrite):
    """Removes multiplications by ones and selections whose condition is constant."""

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        ranges = ValueRanges()
        products = selections = 0
        for match in product_with_ones(ranges).matches(editor):
            if same_shape(match["kept"], match.node):
                editor.replace(match.node, match["kept"])
                products += 1
        for match in SELECTION.matches(editor):
            chosen = chosen_branch(match, ranges)
            if chosen is not None and same_shape(chosen, match.node):
                editor.replace(match.node, chosen)
                selections += 1
        if editor.modified:
            yield f"{products} multiplications by ones and {selections} constant selections dropped"


def product_with_ones(ranges: ValueRanges) -> Call:
    def is_ones(value: object) -> bool:
        return isinstance(value, fx.Node) and bool(ranges.constant(value) == 1)

    kept = where(lambda value: isinstance(value, fx.Node), "kept")
    return call_to(aten.mul.Tensor, kept, where(is_ones), commutative=True)


def chosen_branch(selection: Match, ranges: ValueRanges) -> fx.Node | None:
    known = ranges.constant(selection["condition"])
    if known is None:
        return None
    chosen = selection["if_true" if known else "if_false"]
    return chosen if isinstance(chosen, fx.Node) else None
