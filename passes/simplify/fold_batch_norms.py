"""Batch norms, whose statistics are known, fold into the convolution before them.

    before:  y = batch_norm(conv(x, weight) + bias)
    after:   y = conv(x, weight') + bias'

Behind anything else they become a product and a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from voxc.compiler.core.nodes import call_arguments, is_weight
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, Operand, anything, call_to, is_call, weight
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten

CHANNELS = 1
SCALE, SHIFT = (
    Operand(name, lambda graph, value: value is None or is_weight(graph, value)) for name in ("scale", "shift")
)
NORM = call_to(
    aten._native_batch_norm_legit_no_training.default,
    anything("x"), SCALE, SHIFT, weight("mean"), weight("variance"), anything("momentum"), anything("epsilon"),
)  # fmt: skip


@dataclass(frozen=True)
class FoldBatchNorms(Rewrite):
    """Replaces batch norms by what they come to with constant statistics."""

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        folded = written = 0
        for match in NORM.matches(editor):
            factor, offset = affine(editor, match)
            source = match["x"]
            with editor.before(match.node):
                if folds(editor, source):
                    result = folded_convolution(editor, source, factor, offset)
                    folded += 1
                else:
                    result = scaled(editor, source, factor, offset)
                    written += 1
            for part in list(match.node.users):
                editor.replace(part, result)
        if editor.modified:
            yield f"{folded} batch norms folded into convolutions, {written} written as products and sums"

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, NORM)


def affine(editor: GraphEditor, norm: Match) -> tuple[Tensor, Tensor]:
    """Factor and offset of each channel, in float64: y = x * factor + offset."""
    scale, shift, mean, variance = (exact(editor, norm[name]) for name in ("scale", "shift", "mean", "variance"))
    assert mean is not None
    assert variance is not None
    factor = (1 if scale is None else scale) / torch.sqrt(variance + norm["epsilon"])
    return factor, (0 if shift is None else shift) - mean * factor


def exact(editor: GraphEditor, node: fx.Node | None) -> Tensor | None:
    """A weight in float64, in which results of 32 bits are rounded once."""
    known = editor.weight(node)
    return None if known is None else known.detach().double()


def folds(editor: GraphEditor, source: fx.Node) -> bool:
    """Whether a value comes of a convolution with constant weights that nothing else uses."""
    if not is_call(source, aten.convolution.default) or len(source.users) != 1:
        return False
    _, kernel, bias, *_ = call_arguments(source)
    return editor.weight(kernel) is not None and (bias is None or editor.weight(bias) is not None)


def folded_convolution(editor: GraphEditor, convolution: fx.Node, factor: Tensor, offset: Tensor) -> fx.Node:
    x, kernel, bias, *geometry = call_arguments(convolution)
    *_, transposed, _, groups = geometry
    weights, known, key = exact(editor, kernel), exact(editor, bias), editor.weight_key(kernel)
    assert weights is not None
    taps = [1] * (weights.dim() - 2)
    if transposed:  # [I, O / groups, *K]
        scaled_weights = (
            weights.reshape(groups, -1, *weights.shape[1:]) * factor.reshape(groups, 1, -1, *taps)
        ).flatten(0, 1)
    else:
        scaled_weights = weights * factor.reshape(-1, 1, *taps)
    if known is not None:
        offset = offset + known * factor
    return editor.call(
        aten.convolution.default, x, editor.add_weight(f"{key}_normed", scaled_weights.float()),
        editor.add_weight(f"{key.removesuffix('weight')}bias_normed", offset.float()), *geometry,
    )  # fmt: skip


def scaled(editor: GraphEditor, source: fx.Node, factor: Tensor, offset: Tensor) -> fx.Node:
    shape = [-1 if axis == CHANNELS else 1 for axis in range(source.meta["val"].dim())]
    numbers = (
        editor.add_weight(f"{source.name}_norm_{name}", each.float().reshape(shape[1:]))
        for name, each in (("factor", factor), ("offset", offset))
    )
    product = editor.call(aten.mul.Tensor, source, next(numbers))
    return editor.call(aten.add.Tensor, product, next(numbers))
