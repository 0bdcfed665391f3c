"""Convolutions over time become convolutions of rank 2 over [B, C, 1, L].

    before:  y [B, C, L] = conv1d(leaky_relu(x));  z = conv_transpose1d(y)
    after:   y [B, C, 1, L] = conv2d_1xk(leaky_relu(x));  z = conv_transpose2d_1xk(y)

For readers that have no convolutions of rank 1, or that wrap each of them in two changes of shape. What lies between
the convolutions of a network stays in their shape; all else keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import call_to
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.axis_rules import AXIS_RULES, meet
from voxc.passes.layout.axis_sweep import Rule, Sweep
from voxc.passes.layout.convolutions import convolve, is_line

aten = torch.ops.aten


@dataclass(frozen=True)
class PlanarConvolutions(Rewrite):
    """Rewrites convolutions with constant weights where the target wants them planar."""

    after: ClassVar[tuple[str, ...]] = ("fold_flips", "fold_time_into_rows", "clean_up", "share_equal_nodes")

    def applies(self, target: Target) -> bool:
        return target.layout == "planar"

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        count = sum(is_line(editor, node) for node in editor.calls(aten.convolution.default))
        if count:
            Sweep(editor, RULES, pointwise=meet).rewrite()
            yield f"{count} convolutions on [B, C, 1, L]"

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, call_to(aten.convolution.default), lambda match: is_line(after, match.node))


RULES: dict[object, Rule] = {**AXIS_RULES, aten.convolution.default: convolve}
