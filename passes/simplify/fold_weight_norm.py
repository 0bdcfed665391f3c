"""Weight norm is computed once, here.

before:  conv(x, weight_v * (weight_g / |weight_v|))
after:   conv(x, weight)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from voxc.compiler.core.nodes import HasWeights
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Match, anything, call_to, weight
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten

DIRECTION = weight("direction")
NORM = call_to(
    aten.linalg_vector_norm.default, DIRECTION, anything("order"), anything("axes"), anything("keepdim"),
)  # fmt: skip
WEIGHT_NORM = call_to(aten.mul.Tensor, DIRECTION, call_to(aten.div.Tensor, weight("magnitude"), NORM))


@dataclass(frozen=True)
class FoldWeightNorm(Rewrite):
    """Replaces the weight-norm formula over two parameters by the parameter that it gives."""

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        folded = 0
        for match in WEIGHT_NORM.matches(editor):
            key = editor.weight_key(match["direction"])
            stem = key.removesuffix("_v") if key.endswith("weight_v") else f"{key}_normed"
            editor.replace(match.node, editor.add_weight(stem, normed(editor, match)))
            folded += 1
        if folded:
            yield f"{folded} weight norms folded"

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, WEIGHT_NORM)


def normed(graph: HasWeights, match: Match) -> Tensor:
    direction, magnitude = graph.weight(match["direction"]), graph.weight(match["magnitude"])
    assert direction is not None
    assert magnitude is not None
    norm = torch.linalg.vector_norm(direction, match["order"], match["axes"], match["keepdim"])
    return direction * (magnitude / norm)
