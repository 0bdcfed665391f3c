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
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::layer_norm_channels
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.layout.axis_order import Held, Order, normal, shape_of
from voxc.passes.layout.axis_rules import AXIS_RULES, along, meet, part
from voxc.passes.layout.axis_sweep import Rule, Sweep
from voxc.passes.layout.convolutions import is_rewritable, planar

aten = torch.ops.aten
LAYER_NORM = torch.ops.voxc.layer_norm_channels.default

#: No axis of the weights of a linear layer may be longer: the engine's limit on most axes.
LONGEST_AXIS = 16384


@dataclass(frozen=True)
class AneLayout(Pass):
    """Rewrites convolutions, linear layers and layer norms with constant weights where the target wants rank 4."""

    after: ClassVar[tuple[str, ...]] = ("fold_flips", "fold_time_into_rows", "clean_up", "share_equal_nodes")

    def run(self, program: Program, target: Target) -> PassResult:
        if target.layout != "ane":
            return PassResult(program, modified=False)
        editor = GraphEditor(program)
        counts = {
            "convolutions": sum(is_line(editor, node) for node in editor.calls(aten.convolution.default)),
            "linear layers": sum(product(editor, node) is not None for node in editor.calls(*PRODUCTS)),
            "layer norms": sum(map(is_over_last, editor.calls(aten.native_layer_norm.default))),
        }
        if not any(counts.values()):
            return PassResult(program, modified=False)
        Sweep(editor, RULES, pointwise=meet).rewrite()
        rewritten = editor.finish()
        left = sum(node.target is aten.permute.default for node in rewritten.graph.nodes)
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return PassResult(rewritten, modified=True, notes=(f"{told} as [B, C, 1, S]; {left} permutes are left",))


def is_line(editor: GraphEditor, node: fx.Node) -> bool:
    return is_rewritable(editor, node) and node.meta["val"].dim() == 3


def channels(rank: int, channel: int, time: int) -> Order:
    """[B, C, 1, S] of a value of `rank` 2 or 3, from the axes that are its channels and its time."""
    return (0 if rank == 3 else None, channel, None, time)


def convolve(sweep: Sweep, node: fx.Node) -> Held | None:
    if not is_line(sweep.editor, node):
        return None
    x, weight, bias, *_ = call_arguments(node)
    order = channels(3, 1, 2)
    kernel, geometry = planar(sweep.editor, node)
    laid = sweep.editor.add_weight(f"{sweep.editor.weight_key(weight)}_planar", kernel)
    source = sweep.convert(x, normal(order, shape_of(x)))
    return Held(
        sweep.editor.call(aten.convolution.default, source, laid, bias, *geometry), normal(order, shape_of(node))
    )


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
    found = product(sweep.editor, node)
    if found is None:
        return None
    rank = node.meta["val"].dim()
    order = channels(rank, found.channel, 2 * rank - 3 - found.channel)  # the other one of the last two
    laid = sweep.editor.add_weight(f"{found.key}_planar", found.weight[:, :, None, None])
    bias = None if found.bias is None else sweep.editor.add_weight(f"{found.bias_key}_planar", found.bias)
    source = sweep.convert(found.x, normal(order, shape_of(found.x)))
    result = sweep.editor.call(aten.convolution.default, source, laid, bias, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
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
