"""Transposed convolutions that multiply the length become plain ones that give several samples at once.

    before:  y [B, 1, s L, O] = conv_channels_last(x [B, 1, L, I], transposed, stride s)
    after:   z [B, 1, L, s O] = conv_channels_last(x);  y = view(z)

Sample s m + r of the result takes only every s-th tap of the kernel, from neighbours of x[m]: each r is a short filter
of its own (a polyphase component, as in Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network"), and all of them together are one convolution with s O channels. With
channels last, the view costs no transposition. Runtimes have their best kernels for plain convolutions, and integer
ones get a scale for each channel of each r.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops  # noqa: F401, registers the operator
from voxc.compiler.core.nodes import HasWeights, call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, Refused, call_to, rewrite_matches
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.convolutions import has_constants

CONVOLUTION = torch.ops.voxc.conv_channels_last.default
TIME = 2

UPSAMPLING = call_to(CONVOLUTION, transposed=True)


@dataclass(frozen=True)
class SubPixelUpsampling(Rewrite):
    """Rewrites where a target takes that many times as many products: short filters are filled up with zeros to the
    length of the longest."""

    after: ClassVar[tuple[str, ...]] = ("channels_last",)

    def applies(self, target: Target) -> bool:
        return target.sub_pixel is not None

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        assert target.sub_pixel is not None
        most_waste = target.sub_pixel

        def check(match: Match) -> Phases:
            return phases_of(editor, match.node, most_waste)

        def rewrite(match: Match, phases: Phases) -> str:
            editor.replace(match.node, sub_pixel(editor, match.node, phases))
            return "sub-pixel"

        yield from rewrite_matches(editor, UPSAMPLING, check, rewrite, refusal="stays transposed")

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        most_waste = target.sub_pixel or 0.0
        self.expect_none_left(after, UPSAMPLING, lambda match: phases_of(after, match.node, most_waste))


@dataclass(frozen=True)
class Phases:
    """The short filters of a transposed convolution as one kernel [step * O, 1, width, I], and its bias [step * O];
    each reaches `before` samples back and as many ahead."""

    kernel: Tensor
    bias: Tensor | None
    before: int


def phases_of(graph: HasWeights, node: fx.Node, most_waste: float) -> Phases:
    """The phases of one transposed convolution.

    Raises:
        Refused: it has none, or they take too many products.
    """
    x, weight, bias, stride, padding, dilation, _, _, groups = call_arguments(node)
    if not has_constants(graph, node):
        raise Refused("its weights are computed")
    kernel = graph.weight(weight)
    assert kernel is not None
    length, height = x.meta["val"].shape[TIME], x.meta["val"].shape[1]
    step, taps = stride[-1], kernel.shape[-2]
    plain = groups == 1 and dilation[-1] == 1 and kernel.shape[1] == height == 1
    if not plain or node.meta["val"].shape[TIME] != step * length:
        raise Refused("it does not multiply the length of one row")
    phases, before, after = polyphase(kernel, step, padding[-1])
    if before != after:
        raise Refused("it reaches further to one side than to the other")
    if step * phases.shape[-2] > most_waste * taps:
        raise Refused(f"{step * phases.shape[-2]} taps in place of {taps}")
    offset = None if bias is None else graph.weight(bias)
    return Phases(phases, None if offset is None else offset.repeat(step), before)


def sub_pixel(editor: GraphEditor, node: fx.Node, phases: Phases) -> fx.Node:
    x, weight, bias, *_ = call_arguments(node)
    kernel = editor.add_weight(f"{editor.weight_key(weight)}.phases", phases.kernel)
    offset = None if phases.bias is None else editor.add_weight(f"{editor.weight_key(bias)}.phases", phases.bias)
    whole = editor.call(CONVOLUTION, x, kernel, offset, [1, 1], [0, phases.before], [1, 1], False, [0, 0], 1)
    outputs = node.meta["val"].shape[-1]
    return editor.call(torch.ops.aten.view.default, whole, [x.meta["val"].shape[0], 1, -1, outputs])


def polyphase(kernel: Tensor, step: int, padding: int) -> tuple[Tensor, int, int]:
    """The filters of all phases as one kernel [step * O, 1, width, I] for a transposed one [O, 1, taps, I], and how far
    it reaches back and ahead.

    y[step m + r] = sum over j of kernel[step j + q] x[m + c - j], where c, q = divmod(r + padding, step).
    """
    outputs, _, taps, inputs = kernel.shape
    rows = [divmod(phase + padding, step) for phase in range(step)]
    counts = [-(-(taps - first) // step) for _, first in rows]
    before = max(count - 1 - ahead for (ahead, _), count in zip(rows, counts, strict=True))
    after = max(ahead for ahead, _ in rows)
    phases = kernel.new_zeros(step, outputs, 1, before + after + 1, inputs)
    for phase, ((ahead, first), count) in enumerate(zip(rows, counts, strict=True)):
        for number in range(count):
            phases[phase, :, :, before + ahead - number] = kernel[:, :, first + step * number]
    return phases.flatten(0, 1), before, after
