"""Signals lie as Apple's Neural Engine wants them: [B, C, 1, S], channels first, time last, always of rank 4.

    before:  y [B, T, M] = linear(layer_norm(x [B, T, C]));  z [B, C, L] = conv1d(w)
    after:   y [B, M, 1, T] = conv2d_1x1(layer_norm_channels(x [B, C, 1, T]));  z [B, C, 1, L] = conv2d_1xk(w)

The same sweep as for channels last, with another order. Linear layers are 1x1 convolutions and layer norms go over the
second axis, so that what lies between the convolutions of a network stays where they left it. This is the first
principle of Apple's "Deploying Transformers on the Apple Neural Engine" (2022); the engine holds the last axis
contiguously and pads it to 64 bytes, which a short axis of channels or a 1 at the end would waste.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::layer_norm_channels
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import call_to
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.axis_order import Held, normal, shape_of
from voxc.passes.layout.axis_rules import AXIS_RULES, along, meet, part
from voxc.passes.layout.axis_sweep import Rule, Sweep
from voxc.passes.layout.convolutions import channels, convolve, is_line

aten = torch.ops.aten
LAYER_NORM = torch.ops.voxc.layer_norm_channels.default

#: No axis of the weights of a linear layer may be longer: the engine's limit on most axes.
LONGEST_AXIS = 16384


@dataclass(frozen=True)
class AneLayout(Rewrite):
    """Rewrites convolutions, linear layers and layer norms with constant weights where the target wants rank 4."""

    after: ClassVar[tuple[str, ...]] = ("fold_flips", "fold_time_into_rows", "clean_up", "share_equal_nodes")

    def applies(self, target: Target) -> bool:
        return target.layout == "ane"

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        counts = {
            "convolutions": sum(is_line(editor, node) for node in editor.calls(aten.convolution.default)),
            "linear layers": sum(product(editor, node) is not None for node in editor.calls(*PRODUCTS)),
            "layer norms": sum(map(is_over_last, editor.calls(aten.native_layer_norm.default))),
        }
        if any(counts.values()):
            Sweep(editor, RULES, pointwise=meet).rewrite()
            rewritten = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
            left = len(editor.calls(aten.permute.default))
            yield f"{rewritten} as [B, C, 1, S]; {left} permutes are left"

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, call_to(aten.convolution.default), lambda match: is_line(after, match.node))
        self.expect_none_left(after, call_to(aten.native_layer_norm.default), lambda match: is_over_last(match.node))


@dataclass(frozen=True)
class Product:
    """A matrix product as a linear layer: `weight` [M, K] and `bias` [M] on the other operand `x`, whose axis
    `channel` is K; that of the result is M."""

    x: fx.Node
    weight: Tensor
    key: str
    bias: Tensor | None
    bias_key: str
    channel: int


def product(editor: GraphEditor, node: fx.Node) -> Product | None:
    """A matrix product with a constant, and a constant bias for each of its rows or columns; None for others."""
    arguments = call_arguments(node)
    offset, (left, right) = (
        (arguments[0], arguments[1:3]) if node.target is aten.addmm.default else (None, arguments[:2])
    )
    rank = node.meta["val"].dim()
    batched = rank == 3 and node.meta["val"].shape[0] != 1
    if batched or any(scale != 1 for scale in arguments[3:]) or node.meta["val"].dtype is not torch.float32:
        return None
    on_right = editor.weight(right) is not None
    constant, x = (right, left) if on_right else (left, right)
    weight = editor.weight(constant)
    if weight is None or editor.weight(x) is not None or max(weight.shape) > LONGEST_AXIS:
        return None
    weight = (weight.mT if on_right else weight).flatten(0, -2)
    channel = rank - 1 if on_right else rank - 2
    if offset is None:
        return Product(x, weight, editor.weight_key(constant), None, "", channel)
    bias = editor.weight(offset)
    shapes = ([weight.shape[0]], [1, weight.shape[0]]) if on_right else ([weight.shape[0], 1],)
    if bias is None or list(bias.shape) not in shapes:
        return None
    names = editor.weight_key(constant), editor.weight_key(offset)
    return Product(x, weight, names[0], bias.flatten(), names[1], channel)


def project(sweep: Sweep, node: fx.Node) -> Held | None:
    layer = product(sweep.editor, node)
    if layer is None:
        return None
    rank = node.meta["val"].dim()
    order = channels(rank, layer.channel, 2 * rank - 3 - layer.channel)  # the other one of the last two
    kernel = sweep.editor.add_weight(f"{layer.key}_planar", layer.weight[:, :, None, None])
    bias = None if layer.bias is None else sweep.editor.add_weight(f"{layer.bias_key}_planar", layer.bias)
    source = sweep.convert(layer.x, normal(order, shape_of(layer.x)))
    result = sweep.editor.call(aten.convolution.default, source, kernel, bias, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    return Held(result, normal(order, shape_of(node)))


def is_over_last(node: fx.Node) -> bool:
    """Whether a layer norm goes over the last axis alone, of two or three, and only its first result is used."""
    x, sizes, *_ = call_arguments(node)
    return len(sizes) == 1 and x.meta["val"].dim() in (2, 3) and all(user.args[1] == 0 for user in node.users)


def normalise(sweep: Sweep, node: fx.Node) -> Held | None:
    if not is_over_last(node):
        return None
    x, _, weight, bias, epsilon = call_arguments(node)
    rank = x.meta["val"].dim()
    order = normal(channels(rank, rank - 1, rank - 2), shape_of(x))
    weight, bias = (None if each is None else sweep.plain(each) for each in (weight, bias))
    return Held(sweep.editor.call(LAYER_NORM, sweep.convert(x, order), weight, bias, epsilon), order)


def group(sweep: Sweep, node: fx.Node) -> Held | None:
    """A group norm of [B, C, L] is that of [B, C, 1, L]."""
    x, weight, bias, *sizes = call_arguments(node)
    if x.meta["val"].dim() != 3 or any(user.args[1] != 0 for user in node.users):
        return None
    order = normal(channels(3, 1, 2), shape_of(x))
    weight, bias = (None if each is None else sweep.plain(each) for each in (weight, bias))
    return Held(sweep.editor.call(aten.native_group_norm.default, sweep.convert(x, order), weight, bias, *sizes), order)


def first_part(sweep: Sweep, node: fx.Node) -> Held | None:
    """A result of several; a layer norm over channels has one."""
    held = sweep.held[call_arguments(node)[0]]
    return held if held.node.target is LAYER_NORM else part(sweep, node)


PRODUCTS = (aten.addmm.default, aten.mm.default, aten.bmm.default)
RULES: dict[object, Rule] = {
    **AXIS_RULES,
    aten.convolution.default: convolve,
    **dict.fromkeys(PRODUCTS, project),
    aten.native_layer_norm.default: normalise,
    aten.native_group_norm.default: group,
    operator.getitem: first_part,
    aten._softmax.default: along,
}
