"""Cumulative sums become products with a triangle of ones.

    before:  y [B, T] = cumsum(x, 1)
    after:   y [B, T] = mm(x, triangle [T, T])                      triangle[i, j] = 1 where i <= j

For runtimes that have no scan. TensorRT's parser makes a loop of one: a step for each frame, in layers without names,
which no plan of precisions could reach, and what is summed up here are phases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import fx

from voxc.compiler.program import Program, call_arguments, module_path
from voxc.compiler.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.graph_editor import GraphEditor

aten = torch.ops.aten


@dataclass(frozen=True)
class SumsAsProducts(Pass):
    """Rewrites cumulative sums of at most `most_length` numbers, whose triangle then takes as much as a small layer."""

    after: ClassVar[tuple[str, ...]] = ("frame_rate_source_phase", "clean_up")

    most_length: int = 1024

    def run(self, program: Program, target: Target) -> PassResult:
        if target.scans:
            return PassResult(program, modified=False)
        editor = GraphEditor(program)
        notes, triangles = [], dict[int, fx.Node]()
        for node in editor.calls(aten.cumsum.default):
            where, reason = module_path(node) or node.name, self.why_not(node)
            if reason:
                notes.append(f"{where}: a cumulative sum stays: {reason}")
                continue
            x, dim, *_ = call_arguments(node)
            length = x.meta["val"].shape[dim]
            if length not in triangles:
                triangles[length] = editor.add_weight(f"triangle_{length}", torch.ones(length, length).triu())
            with editor.before(node):
                editor.replace(node, product(editor, x, dim % x.meta["val"].dim(), triangles[length]))
            notes.append(f"{where}: a cumulative sum of {length} as a product")
        return PassResult(editor.finish() if editor.modified else program, editor.modified, tuple(notes))

    def why_not(self, node: fx.Node) -> str:
        x, dim, *_ = call_arguments(node)
        given, result = x.meta["val"], node.meta["val"]
        if not all(isinstance(size, int) for size in given.shape):
            return "its length is not known"
        if given.dtype is not torch.float32 or result.dtype is not torch.float32:
            return f"it is of {given.dtype}"
        if given.dim() == 0 or given.shape[dim] > self.most_length:
            return f"it is over more than {self.most_length} numbers"
        return ""


def product(editor: GraphEditor, x: fx.Node, axis: int, triangle: fx.Node) -> fx.Node:
    """`x` as rows along `axis`, times the triangle, and back."""
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
