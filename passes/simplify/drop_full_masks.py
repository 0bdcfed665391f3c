"""Masks that let everything through vanish.

    before:  mask = arange(T) < full([1], T);  x = x * mask;  scores = where(mask == 0, -1e4, scores)
    after:   x = x;  scores = scores

With one segment and all frames valid, a VITS-style network multiplies by ones dozens of times. Nothing is assumed: a
mask goes only where its values are proven, for symbolic lengths too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx

from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor, same_shape
from voxc.passes.kit.value_ranges import ValueRanges

aten = torch.ops.aten


@dataclass(frozen=True)
class DropFullMasks(Pass):
    """Removes multiplications by ones and selections whose condition is constant."""

    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        ranges = ValueRanges()
        products = selections = 0
        for product in editor.calls(aten.mul.Tensor):
            kept = other_factor(product, ranges)
            if kept is not None and same_shape(kept, product):
                editor.replace(product, kept)
                products += 1
        for selection in editor.calls(aten.where.self):
            chosen = chosen_branch(selection, ranges)
            if chosen is not None and same_shape(chosen, selection):
                editor.replace(selection, chosen)
                selections += 1
        if not editor.modified:
            return PassResult(program, modified=False)
        notes = (f"{products} multiplications by ones and {selections} constant selections dropped",)
        return PassResult(editor.finish(), modified=True, notes=notes)


def other_factor(product: fx.Node, ranges: ValueRanges) -> fx.Node | None:
    """The factor that is not all ones, if the other one is."""
    left, right = call_arguments(product)
    for kept, mask in ((left, right), (right, left)):
        if isinstance(kept, fx.Node) and isinstance(mask, fx.Node) and ranges.constant(mask) == 1:
            return kept
    return None


def chosen_branch(selection: fx.Node, ranges: ValueRanges) -> fx.Node | None:
    condition, if_true, if_false = call_arguments(selection)
    known = ranges.constant(condition)
    if known is None:
        return None
    chosen = if_true if known else if_false
    return chosen if isinstance(chosen, fx.Node) else None
