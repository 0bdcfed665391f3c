"""The heads of attention become batches of its projections' weights, which then give and take them in place.

    before:  q [H, T, D] = permute(view(addmm(bias, x, weight [I, H * D]), [T, H, D]), [1, 0, 2])
    after:   q = bmm(expand(x, [H, T, I]), weight [H, I, D]) + bias [H, 1, D]

    before:  y [T, O] = addmm(bias, view(permute(heads [H, T, D], [1, 0, 2]), [T, H * D]), weight [H * D, O])
    after:   y = sum(bmm(heads, weight [H, D, O]), over heads) + bias

No element moves any more but where keys stand across from queries. For runtimes whose products of batches are as good
as others; there are as many multiplications as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::conv_channels_last
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, Refused, anything, call_to, rewrite_matches, where
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten

#: Permutations of [T, H, D] into [H, T, D], and into [H, D, T] as keys are wanted.
SPLIT, ACROSS = [1, 0, 2], [1, 2, 0]
VIEWS = frozenset({aten.view.default, aten.clone.default})
SCALES = frozenset({aten.mul.Tensor, aten.div.Tensor})


#: Heads that are cut from a signal, and those that are put beside each other again.
CUT = call_to(aten.permute.default, anything("whole"), where(lambda order: list(order) in (SPLIT, ACROSS), "order"))
JOINED = call_to(aten.permute.default, anything("heads"), where(lambda order: list(order) == SPLIT))


@dataclass(frozen=True)
class FoldHeads(Rewrite):
    """Rewrites projections with constant weights where the target says that batches of weights are as good."""

    after: ClassVar[tuple[str, ...]] = ("channels_last", "clean_up", "share_equal_nodes")

    def applies(self, target: Target) -> bool:
        return target.batched_weights

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        folding = Folding(editor)
        refusal = "heads stay beside the weights"
        refusals = [
            *rewrite_matches(editor, CUT, folding.cut, folding.split, refusal=refusal),
            *rewrite_matches(editor, call_to(*PROJECTIONS), folding.joined, folding.join, refusal=refusal),
        ]
        yield from (f"{count} projections {done}" for done, count in folding.counts.items() if count)
        yield from refusals


@dataclass(frozen=True)
class Projection:
    """x [..., I] times weight [I, O] plus bias [O]; `key` and `bias_key` are their names in the model."""

    node: fx.Node
    x: fx.Node
    weight: Tensor
    bias: Tensor | None
    key: str
    bias_key: str


@dataclass(frozen=True)
class Cut:
    """Heads [H, T, D] of a projection, times `scales`; `across` where they are wanted as [H, D, T]."""

    projection: Projection
    scales: tuple[fx.Node, ...]
    heads: int
    width: int
    time: int
    across: bool


@dataclass(frozen=True)
class Join:
    """A projection of `heads` [H, T, D] that are put beside each other."""

    projection: Projection
    heads: fx.Node


@dataclass
class Folding:
    """The rewriting of one graph; `spread` has the inputs that several projections of as many heads take."""

    editor: GraphEditor
    spread: dict[tuple[fx.Node, int], fx.Node] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"give heads": 0, "take heads": 0})

    def cut(self, match: Match) -> Cut | None:
        """The projection whose result is only cut into heads and scaled; None if there is none.

        Raises:
            Refused: something else uses the result.
        """
        source: fx.Node = match["whole"]
        time, heads, width = source.meta["val"].shape
        scales: list[fx.Node] = []
        shared = False
        while source.target in VIEWS or is_scale(source):
            if is_scale(source):
                scales.insert(0, source)
            shared = shared or len(source.users) > 1
            source = source.all_input_nodes[0]
        projection = projection_at(self.editor, source)
        if projection is None or not all(isinstance(size, int) for size in (time, heads, width)) or heads == 1:
            return None
        if source.meta["val"].shape[-1] != heads * width:
            return None
        if shared or len(source.users) > 1:
            raise Refused("something else uses it too", source)
        return Cut(projection, tuple(scales), heads, width, time, list(match["order"]) == ACROSS)

    def split(self, match: Match, cut: Cut) -> None:
        with self.editor.before(cut.projection.node):
            result = self.batched(cut)
            for scale in cut.scales:
                assert callable(scale.target)
                result = self.editor.call(scale.target, result, *scale.args[1:])
            if cut.across:
                result = self.editor.call(aten.permute.default, result, [0, 2, 1])
        self.editor.replace(match.node, result)
        self.counts["give heads"] += 1

    def batched(self, cut: Cut) -> fx.Node:
        """[H, T, D]."""
        call, projection, heads = self.editor.call, cut.projection, cut.heads
        inputs = projection.weight.shape[0]
        if (projection.x, heads) not in self.spread:
            rows = call(aten.view.default, projection.x, [1, cut.time, inputs])
            self.spread[projection.x, heads] = call(aten.expand.default, rows, [heads, cut.time, inputs])
        weight = projection.weight.reshape(inputs, heads, cut.width).transpose(0, 1)
        product = call(aten.bmm.default, self.spread[projection.x, heads], self.store(projection.key, weight))
        if projection.bias is None:
            return product
        bias = self.store(projection.bias_key, projection.bias.reshape(heads, 1, cut.width))
        return call(aten.add.Tensor, product, bias)

    def joined(self, match: Match) -> Join | None:
        """The heads that a projection takes and that were only put beside each other; None if it takes others."""
        projection = projection_at(self.editor, match.node)
        source = None if projection is None else projection.x
        while source is not None and source.target in VIEWS:
            source = source.all_input_nodes[0]
        joined = JOINED.match(self.editor, source)
        if projection is None or joined is None:
            return None
        heads, time, width = joined["heads"].meta["val"].shape
        if not isinstance(time, int) or heads * width != projection.weight.shape[0]:
            return None
        return Join(projection, joined["heads"])

    def join(self, match: Match, join: Join) -> None:
        call, projection = self.editor.call, join.projection
        heads, _, width = join.heads.meta["val"].shape
        weight = self.store(projection.key, projection.weight.reshape(heads, width, -1))
        total = call(aten.sum.dim_IntList, call(aten.bmm.default, join.heads, weight), [0], False)
        if projection.bias is not None:
            total = call(aten.add.Tensor, total, self.store(projection.bias_key, projection.bias))
        self.editor.replace(match.node, call(aten.view.default, total, list(match.node.meta["val"].shape)))
        self.counts["take heads"] += 1

    def store(self, key: str, tensor: Tensor) -> fx.Node:
        return self.editor.add_weight(f"{key}_heads", tensor)


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


def projection_at(editor: GraphEditor, node: fx.Node) -> Projection | None:
    rule = PROJECTIONS.get(node.target) if node.op == "call_function" else None
    return None if rule is None else rule(editor, node)
