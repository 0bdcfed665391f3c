"""Convolutions take their channels last, and what lies between them follows.

    before:  y [B, C, L] = conv1d(leaky_relu(conv1d(x))) + bias [1, C, 1]
    after:   y [B, 1, L, C] = conv_channels_last(leaky_relu(conv_channels_last(x))) + bias [1, 1, 1, C]

One sweep in topological order keeps, for each value, the order in which the graph holds its axes. Most operators take
their operands as they are held, a permutation of axes only changes what is noted about them, and so axes move where an
operator insists on an order, or where two values meet that are held differently: then the smaller one moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::conv_channels_last
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import call_to
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.axis_order import Held, Order, normal, shape_of
from voxc.passes.layout.axis_rules import AXIS_RULES, meet
from voxc.passes.layout.axis_sweep import Rule, Sweep
from voxc.passes.layout.convolutions import is_rewritable, planar

aten = torch.ops.aten

#: By the rank of a convolution's input: the order of its axes with the channels last, always of rank 4.
CHANNELS_LAST: dict[int, Order] = {3: (0, None, 2, 1), 4: (0, 2, 3, 1)}


@dataclass(frozen=True)
class ChannelsLast(Rewrite):
    """Rewrites one- and two-dimensional convolutions with constant weights where the target wants channels last."""

    after: ClassVar[tuple[str, ...]] = ("fold_flips", "fold_time_into_rows", "clean_up", "share_equal_nodes")

    def applies(self, target: Target) -> bool:
        return target.layout == "channels_last"

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        count = sum(is_rewritable(editor, node) for node in editor.calls(aten.convolution.default))
        if not count:
            return
        permutes = len(editor.calls(aten.permute.default))
        spell_out_instance_norms(editor)
        Sweep(editor, RULES, pointwise=meet).rewrite()
        left = len(editor.calls(aten.permute.default))
        yield (
            f"{count} convolutions take channels last; {left} permutes are left "
            f"({permutes + 2 * count} if each convolution had its own)"
        )

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, call_to(aten.convolution.default), lambda match: is_rewritable(after, match.node))


def spell_out_instance_norms(editor: GraphEditor) -> None:
    """Group norms with a group for each channel become arithmetic that any order of axes can follow."""
    for norm in editor.calls(aten.native_group_norm.default):
        x, scale, shift, _, channels, _, groups, epsilon = call_arguments(norm)
        if groups != channels or any(user.args[1] != 0 for user in norm.users):
            continue
        rank = x.meta["val"].dim()
        call, space = editor.call, list(range(2, rank))
        with editor.before(norm):
            centred = call(aten.sub.Tensor, x, call(aten.mean.dim, x, space, True))
            variance = call(aten.mean.dim, call(aten.mul.Tensor, centred, centred), space, True)
            y = call(aten.mul.Tensor, centred, call(aten.rsqrt.default, call(aten.add.Tensor, variance, epsilon)))
            for weight, combine in ((scale, aten.mul.Tensor), (shift, aten.add.Tensor)):
                if weight is not None:
                    y = call(combine, y, call(aten.view.default, weight, [1, channels, *(1 for _ in space)]))
        for result in list(norm.users):
            editor.replace(result, y)


def convolve(sweep: Sweep, node: fx.Node) -> Held | None:
    if not is_rewritable(sweep.editor, node):
        return None
    x, weight, bias, *_ = call_arguments(node)
    order = CHANNELS_LAST[x.meta["val"].dim()]
    kernel, geometry = planar(sweep.editor, node)
    *_, transposed, _, groups = geometry
    if transposed:
        kernel = torch.cat([part.transpose(0, 1) for part in kernel.chunk(groups)])
    laid = sweep.editor.add_weight(f"{sweep.editor.weight_key(weight)}_channels_last", kernel.permute(0, 2, 3, 1))
    source = sweep.convert(x, normal(order, shape_of(x)))
    result = sweep.editor.call(torch.ops.voxc.conv_channels_last.default, source, laid, bias, *geometry)
    return Held(result, normal(order, shape_of(node)))


RULES: dict[object, Rule] = {**AXIS_RULES, aten.convolution.default: convolve}
