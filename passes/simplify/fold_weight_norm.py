"""Weight norm is computed once, here.

before:  conv(x, weight_v * (weight_g / |weight_v|))
after:   conv(x, weight)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor

aten = torch.ops.aten


@dataclass(frozen=True)
class FoldWeightNorm(Pass):
    """Replaces the weight-norm formula over two parameters by the parameter that it gives."""

    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        folded = 0
        for product in editor.calls(aten.mul.Tensor):
            match = match_weight_norm(product, editor)
            if match is None:
                continue
            direction, weight = match
            key = editor.weight_key(direction)
            stem = key.removesuffix("_v") if key.endswith("weight_v") else f"{key}_normed"
            editor.replace(product, editor.add_weight(stem, weight))
            folded += 1
        if not folded:
            return PassResult(program, modified=False)
        return PassResult(editor.finish(), modified=True, notes=(f"{folded} weight norms folded",))


def match_weight_norm(product: fx.Node, editor: GraphEditor) -> tuple[fx.Node, Tensor] | None:
    """The direction node and the weight, if `product` is `direction * (magnitude / |direction|)` over parameters."""
    direction, ratio = call_arguments(product)
    direction_value = editor.weight(direction)
    if direction_value is None or not is_call(ratio, aten.div.Tensor):
        return None
    magnitude, norm = call_arguments(ratio)
    magnitude_value = editor.weight(magnitude)
    if magnitude_value is None or not is_call(norm, aten.linalg_vector_norm.default):
        return None
    normed, *options = call_arguments(norm)
    if normed is not direction:
        return None
    order, axes, keepdim, _ = options
    return direction, direction_value * (
        magnitude_value / torch.linalg.vector_norm(direction_value, order, axes, keepdim)
    )


def is_call(node: object, target: object) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target is target
