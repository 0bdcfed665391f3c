"""The heads of attention become batches of its projections' weights, which then give and take them in place.

    before:  q [H, T, D] = permute(view(addmm(bias, x, weight [I, H * D]), [T, H, D]), [1, 0, 2])
    after:   q = bmm(expand(x, [H, T, I]), weight [H, I, D]) + bias [H, 1, D]

    before:  y [T, O] = addmm(bias, view(permute(heads [H, T, D], [1, 0, 2]), [T, H * D]), weight [H * D, O])
    after:   y = sum(bmm(heads, weight [H, D, O]), over heads) + bias

No element moves any more but where keys stand across from queries. For runtimes whose products of batches are as good
as others; there are as many multiplications as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::conv_channels_last
from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor

aten = torch.ops.aten

#: Permutations of [T, H, D] into [H, T, D], and into [H, D, T] as keys are wanted.
SPLIT, ACROSS = [1, 0, 2], [1, 2, 0]
VIEWS = frozenset({aten.view.default, aten.clone.default})
SCALES = frozenset({aten.mul.Tensor, aten.div.Tensor})


@dataclass(frozen=True)
class FoldHeads(Pass):
    """Rewrites projections with constant weights where the target says that batches of weights are as good."""

    after: ClassVar[tuple[str, ...]] = ("channels_last", "clean_up", "share_equal_nodes")

    def run(self, program: Program, target: Target) -> PassResult:
        if not target.batched_weights:
            return PassResult(program, modified=False)
        folding = Folding(GraphEditor(program))
        editor = folding.editor
        for permute in editor.calls(aten.permute.default):
            folding.split(permute)
        for node in editor.calls(*PROJECTIONS):
            folding.join(node)
        return PassResult(editor.finish() if editor.modified else program, editor.modified, tuple(folding.notes()))


@dataclass(frozen=True)
class Projection:
    """x [..., I] times weight [I, O] plus bias [O]; `key` and `bias_key` are their names in the model."""

    node: fx.Node
    x: fx.Node
    weight: Tensor
    bias: Tensor | None
    key: str
    bias_key: str


@dataclass
class Folding:
    """The rewriting of one graph; `spread` has the inputs that several projections of as many heads take."""

    editor: GraphEditor
    spread: dict[tuple[fx.Node, int], fx.Node] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"give heads": 0, "take heads": 0})
    refused: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        return [*(f"{count} projections {what}" for what, count in self.counts.items() if count), *self.refused]

    def split(self, permute: fx.Node) -> None:
        """A projection whose result is only cut into heads and scaled."""
        source, order = call_arguments(permute)
        if list(order) not in (SPLIT, ACROSS):
            return None
        time, heads, width = source.meta["val"].shape
        scales: list[fx.Node] = []
        while source.target in VIEWS or is_scale(source):
            if is_scale(source):
                scales.insert(0, source)
            if len(source.users) > 1:
                return self.refuse(source, "something else uses it too")
            source = source.all_input_nodes[0]
        projection = PROJECTIONS[source.target](self.editor, source) if source.target in PROJECTIONS else None
        sizes = (time, heads, width)
        if projection is None or not all(isinstance(size, int) for size in sizes) or heads == 1:
            return None
        if source.meta["val"].shape[-1] != heads * width:
            return None
        if len(source.users) > 1:
            return self.refuse(source, "something else uses it too")
        with self.editor.before(projection.node):
            result = self.batched(projection, time, heads, width)
            for scale in scales:
                assert callable(scale.target)
                result = self.editor.call(scale.target, result, *scale.args[1:])
            if list(order) == ACROSS:
                result = self.editor.call(aten.permute.default, result, [0, 2, 1])
        self.editor.replace(permute, result)
        self.counts["give heads"] += 1
        return None

    def batched(self, projection: Projection, time: int, heads: int, width: int) -> fx.Node:
        """[H, T, D]."""
        call, inputs = self.editor.call, projection.weight.shape[0]
        if (projection.x, heads) not in self.spread:
            rows = call(aten.view.default, projection.x, [1, time, inputs])
            self.spread[projection.x, heads] = call(aten.expand.default, rows, [heads, time, inputs])
        weight = projection.weight.reshape(inputs, heads, width).transpose(0, 1)
        product = call(aten.bmm.default, self.spread[projection.x, heads], self.store(projection.key, weight))
        if projection.bias is None:
            return product
        bias = self.store(projection.bias_key, projection.bias.reshape(heads, 1, width))
        return call(aten.add.Tensor, product, bias)

    def join(self, node: fx.Node) -> None:
        """A projection of heads that were only put beside each other."""
        projection = PROJECTIONS[node.target](self.editor, node)
        source = None if projection is None else projection.x
        while source is not None and source.target in VIEWS:
            source = source.all_input_nodes[0]
        if projection is None or source is None or source.target is not aten.permute.default:
            return
        heads_first, order = call_arguments(source)
        if list(order) != SPLIT or math.prod(source.meta["val"].shape[1:]) != projection.weight.shape[0]:
            return
        heads, time, width = heads_first.meta["val"].shape
        if not isinstance(time, int):
            return
        call = self.editor.call
        with self.editor.before(node):
            weight = self.store(projection.key, projection.weight.reshape(heads, width, -1))
            total = call(aten.sum.dim_IntList, call(aten.bmm.default, heads_first, weight), [0], False)
            if projection.bias is not None:
                total = call(aten.add.Tensor, total, self.store(projection.bias_key, projection.bias))
            result = call(aten.view.default, total, list(node.meta["val"].shape))
        self.editor.replace(node, result)
        self.counts["take heads"] += 1

    def store(self, key: str, tensor: Tensor) -> fx.Node:
        return self.editor.add_weight(f"{key}_heads", tensor)

    def refuse(self, node: fx.Node, reason: str) -> None:
        self.refused.append(f"{module_path(node) or node.name}: heads stay beside the weights: {reason}")


def is_scale(node: fx.Node) -> bool:
    return node.target in SCALES and not isinstance(node.args[1], fx.Node)


def of_convolution(editor: GraphEditor, node: fx.Node) -> Projection | None:
    """A convolution with one tap on [1, 1, T, I], weight [O, 1, 1, I]."""
    x, weight, bias, stride, padding, _, transposed, _, groups = call_arguments(node)
    kernel = editor.weight(weight)
    shape = x.meta["val"].shape
    if kernel is None or transposed or groups != 1 or kernel.shape[1:-1].numel() != 1 or shape[:-2].numel() != 1:
        return None
    if any(size != 1 for size in stride) or any(padding):
        return None
    return projection_of(editor, node, x, weight, kernel.flatten(1).T, bias)


def of_product(editor: GraphEditor, node: fx.Node) -> Projection | None:
    """x [T, I] times weight [I, O], to which a bias [O] may be added."""
    arguments = call_arguments(node)
    bias, x, weight, *factors = arguments if node.target is aten.addmm.default else [None, *arguments]
    matrix = editor.weight(weight)
    if matrix is None or any(factor != 1 for factor in factors):
        return None
    return projection_of(editor, node, x, weight, matrix, bias)


def projection_of(
    editor: GraphEditor, node: fx.Node, x: fx.Node, weight: fx.Node, matrix: Tensor, bias: fx.Node | None
) -> Projection | None:
    added = None if bias is None else editor.weight(bias)
    if bias is not None and (added is None or added.dim() != 1):
        return None
    key = editor.weight_key(weight)
    if bias is None or added is None:
        return Projection(node, x, matrix.detach(), None, key, "")
    return Projection(node, x, matrix.detach(), added.detach(), key, editor.weight_key(bias))


PROJECTIONS: Mapping[Any, Callable[[GraphEditor, fx.Node], Projection | None]] = {
    torch.ops.voxc.conv_channels_last.default: of_convolution,
    aten.addmm.default: of_product,
    aten.mm.default: of_product,
}
