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

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops  # noqa: F401, registers the operator
from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor

CONVOLUTION = torch.ops.voxc.conv_channels_last.default
TIME = 2


@dataclass(frozen=True)
class SubPixelUpsampling(Pass):
    """Rewrites where a target takes that many times as many products: short filters are filled up with zeros to the
    length of the longest."""

    after: ClassVar[tuple[str, ...]] = ("channels_last",)

    def run(self, program: Program, target: Target) -> PassResult:
        if target.sub_pixel is None:
            return PassResult(program, modified=False)
        editor = GraphEditor(program)
        notes = []
        for node in editor.calls(CONVOLUTION):
            if not call_arguments(node)[6]:
                continue
            refusal = rewrite(editor, node, target.sub_pixel)
            notes.append(f"{module_path(node) or node.name}: {refusal or 'sub-pixel'}")
        return PassResult(editor.finish() if editor.modified else program, editor.modified, tuple(notes))


def rewrite(editor: GraphEditor, node: fx.Node, most_waste: float) -> str:
    """Rewrites one transposed convolution; gives the reason if it stays as it is."""
    x, weight, bias, stride, padding, dilation, _, _, groups = call_arguments(node)
    kernel, offset = editor.weight(weight), None if bias is None else editor.weight(bias)
    if kernel is None or (bias is not None and offset is None):
        return "stays transposed: its weights are computed"
    length, height = x.meta["val"].shape[TIME], x.meta["val"].shape[1]
    step, taps = stride[-1], kernel.shape[-2]
    plain = groups == 1 and dilation[-1] == 1 and kernel.shape[1] == height == 1
    if not plain or node.meta["val"].shape[TIME] != step * length:
        return "stays transposed: it does not multiply the length of one row"
    phases, before, after = polyphase(kernel, step, padding[-1])
    if before != after:
        return "stays transposed: it reaches further to one side than to the other"
    if step * phases.shape[-2] > most_waste * taps:
        return f"stays transposed: {step * phases.shape[-2]} taps in place of {taps}"
    with editor.before(node):
        key = editor.weight_key(weight)
        arguments = [
            x,
            editor.add_weight(f"{key}.phases", phases),
            None if offset is None else editor.add_weight(f"{editor.weight_key(bias)}.phases", offset.repeat(step)),
        ]
        whole = editor.call(CONVOLUTION, *arguments, [1, 1], [0, before], [1, 1], False, [0, 0], 1)
        result = editor.call(torch.ops.aten.view.default, whole, [x.meta["val"].shape[0], 1, -1, kernel.shape[0]])
    editor.replace(node, result)
    return ""


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
