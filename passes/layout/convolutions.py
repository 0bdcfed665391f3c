"""What passes over convolutions share: which of them they can rewrite, and a 1-D one as a 2-D one of height 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from voxc.compiler.core.nodes import HasWeights, call_arguments, is_weight
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.layout.axis_order import Held, Order, normal, shape_of
from voxc.passes.layout.axis_sweep import Sweep

aten = torch.ops.aten

#: The axis of [B, C, 1, L] that [B, C, L] lacks.
HEIGHT = 2


def has_constants(graph: HasWeights, convolution: fx.Node) -> bool:
    """Whether the weight of a convolution and its bias, if any, are constants."""
    _, weight, bias, *_ = call_arguments(convolution)
    return is_weight(graph, weight) and (bias is None or is_weight(graph, bias))


def is_rewritable(graph: HasWeights, node: fx.Node) -> bool:
    """Whether a convolution is of one or two dimensions, batched, and has constants for weight and bias."""
    source, weight, *_ = call_arguments(node)
    return has_constants(graph, node) and source.meta["val"].dim() == weight.meta["val"].dim() in (3, 4)


def is_line(graph: HasWeights, node: fx.Node) -> bool:
    """Whether a rewritable convolution is of one dimension."""
    return is_rewritable(graph, node) and node.meta["val"].dim() == 3


def planar(editor: GraphEditor, node: fx.Node) -> tuple[Tensor, tuple[Any, ...]]:
    """The weight and the geometry (stride, padding, dilation, transposed, output padding, groups) of a rewritable
    convolution as those of a 2-D one."""
    _, weight, _, stride, padding, dilation, transposed, output_padding, groups = call_arguments(node)
    kernel = editor.weight(weight)
    assert kernel is not None
    if kernel.dim() == 3:
        kernel = kernel.unsqueeze(HEIGHT)
        stride, dilation = [1, *stride], [1, *dilation]
        padding, output_padding = [0, *padding], [0, *output_padding]
    return kernel, (stride, padding, dilation, transposed, output_padding, groups)


def channels(rank: int, channel: int, time: int) -> Order:
    """[B, C, 1, S] of a value of `rank` 2 or 3, from the axes that are its channels and its time."""
    return (0 if rank == 3 else None, channel, None, time)


def convolve(sweep: Sweep, node: fx.Node) -> Held | None:
    """A convolution over time on [B, C, 1, S]."""
    if not is_line(sweep.editor, node):
        return None
    x, weight, bias, *_ = call_arguments(node)
    order = channels(3, 1, 2)
    kernel, geometry = planar(sweep.editor, node)
    flat = sweep.editor.add_weight(f"{sweep.editor.weight_key(weight)}_planar", kernel)
    source = sweep.convert(x, normal(order, shape_of(x)))
    return Held(
        sweep.editor.call(aten.convolution.default, source, flat, bias, *geometry), normal(order, shape_of(node))
    )
