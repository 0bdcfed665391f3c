"""Convolutions over time become convolutions of rank 2 over [B, C, 1, L].

    before:  y [B, C, L] = conv1d(leaky_relu(x));  z = conv_transpose1d(y)
    after:   y [B, C, 1, L] = conv2d_1xk(leaky_relu(x));  z = conv_transpose2d_1xk(y)

For readers that have no convolutions of rank 1, or that wrap each of them in two changes of shape. What lies between
the convolutions of a network stays in their shape; all else keeps its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.layout.ane_layout import convolve, is_line
from voxc.passes.layout.axis_rules import AXIS_RULES, meet
from voxc.passes.layout.axis_sweep import Rule, Sweep

aten = torch.ops.aten


@dataclass(frozen=True)
class PlanarConvolutions(Pass):
    """Rewrites convolutions with constant weights where the target wants them planar."""

    after: ClassVar[tuple[str, ...]] = ("fold_flips", "fold_time_into_rows", "clean_up", "share_equal_nodes")

    def run(self, program: Program, target: Target) -> PassResult:
        if target.layout != "planar":
            return PassResult(program, modified=False)
        editor = GraphEditor(program)
        count = sum(is_line(editor, node) for node in editor.calls(aten.convolution.default))
        if not count:
            return PassResult(program, modified=False)
        Sweep(editor, RULES, pointwise=meet).rewrite()
        return PassResult(editor.finish(), modified=True, notes=(f"{count} convolutions on [B, C, 1, L]",))


RULES: dict[object, Rule] = {**AXIS_RULES, aten.convolution.default: convolve}
