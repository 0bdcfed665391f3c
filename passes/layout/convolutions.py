"""What passes over convolutions share: which of them they can rewrite, and a 1-D one as a 2-D one of height 1."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from voxc.compiler.core.nodes import call_arguments
from voxc.passes.kit.graph_editor import GraphEditor

#: The axis of [B, C, 1, L] that [B, C, L] lacks.
HEIGHT = 2


def is_rewritable(editor: GraphEditor, node: fx.Node) -> bool:
    """Whether a convolution is of one or two dimensions, batched, and has constants for weight and bias."""
    source, weight, bias, *_ = call_arguments(node)
    constant = editor.weight(weight) is not None and (bias is None or editor.weight(bias) is not None)
    return constant and source.meta["val"].dim() == weight.meta["val"].dim() in (3, 4)


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
