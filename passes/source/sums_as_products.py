"""Cumulative sums become products with a triangle of ones.

    before:  y [B, T] = cumsum(x, 1)
    after:   y [B, T] = mm(x, triangle [T, T])                      triangle[i, j] = 1 where i <= j

             n = numbers[:T];  triangle = n + 0.5 > n[:, None]      where T is not known, of numbers 0, 1, 2, ...

For runtimes that have no scan. TensorRT's parser makes a loop of one: a step for each frame, in layers without names,
which no plan of precisions could reach, and what is summed up here are phases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import MAX_FRAMES
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor

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
        notes, triangles = [], dict[str, fx.Node]()
        for node in editor.calls(aten.cumsum.default):
            where, reason = module_path(node) or node.name, self.why_not(node)
            if reason:
                notes.append(f"{where}: a cumulative sum stays: {reason}")
                continue
            x, dim, *_ = call_arguments(node)
            length = x.meta["val"].shape[dim]
            with editor.before(node):
                if str(length) not in triangles:
                    triangles[str(length)] = triangle(editor, x, dim)
                editor.replace(node, product(editor, x, dim % x.meta["val"].dim(), triangles[str(length)]))
            count = length if isinstance(length, int) else "all frames"
            notes.append(f"{where}: a cumulative sum of {count} as a product")
        return PassResult(editor.finish() if editor.modified else program, editor.modified, tuple(notes))

    def why_not(self, node: fx.Node) -> str:
        x, dim, *_ = call_arguments(node)
        given, result = x.meta["val"], node.meta["val"]
        if given.dtype is not torch.float32 or result.dtype is not torch.float32:
            return f"it is of {given.dtype}"
        if given.dim() == 0 or hint(given.shape[dim]) > self.most_length:
            return f"it is over more than {self.most_length} numbers"
        if all(isinstance(size, int) for size in given.shape):
            return ""
        if given.dim() != 2 or not statically_known_true(given.shape[dim] <= MAX_FRAMES):
            return "its length is not known"
        return ""


def hint(size: int | torch.SymInt) -> int:
    """A size, for the segment where it depends on that."""
    return size if isinstance(size, int) else int(size.node.hint)


def triangle(editor: GraphEditor, x: fx.Node, axis: int) -> fx.Node:
    """Ones on and above the diagonal, as long and as wide as `x` along an axis."""
    length = x.meta["val"].shape[axis]
    if isinstance(length, int):
        return editor.add_weight(f"triangle_{length}", torch.ones(length, length).triu())
    call, numbers = editor.call, editor.add_weight("frame_numbers", torch.arange(MAX_FRAMES, dtype=torch.float32))
    places = call(aten.slice.Tensor, numbers, 0, 0, call(aten.sym_size.int, x, axis))
    columns = call(aten.add.Tensor, call(aten.unsqueeze.default, places, 0), 0.5)
    above = call(aten.gt.Tensor, columns, call(aten.unsqueeze.default, places, 1))
    return call(aten._to_copy.default, above, dtype=torch.float32)


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
