from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.passes.harness import program_of
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import load_targets
from voxc.compiler.families.rvc.retrieval.component import retrieval_component
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.rules import islands
from voxc.passes.simplify.clean_up import CleanUp


class Inverse(nn.Module):
    """The share of each value's inverse, between two layers."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        inverse = 1 / self.first(x).abs().clamp(min=self.least)
        return self.last(inverse / inverse.sum(-1, keepdim=True))


def cleaned(module: nn.Module) -> Program:
    return CleanUp()(program_of(module, ("T", 4)), load_targets()["apple-mlx"]).program


def targets_of(program: Program) -> set[str]:
    names = islands(program)
    return {node.target.__name__.split(".")[0] for node in program.graph.nodes if node.name in names}


def test_numbers_that_float16_lacks_are_islands_between_layers() -> None:
    found = targets_of(cleaned(Inverse(1e-30)))
    assert {"abs", "clamp", "reciprocal", "sum", "div"} <= found
    assert "addmm" not in found
    assert islands(cleaned(Inverse(1e-6))) == {}


def test_retrieval_in_float16_keeps_its_distances() -> None:
    """A query that is a stored vector has a neighbour at distance zero: its share is everything, not zero by zero."""
    program = export(retrieval_component(torch.randn(40, 8).numpy(), 8), {"T": 12}, dynamic=False)
    plan = AnnotatePrecision("fp16")(program, load_targets()["apple-mlx"]).program.plan
    kept = {name.rsplit("_", 1)[0] if name[-1].isdigit() else name for name in plan.nodes}
    assert {"sub", "pow", "sum", "topk", "clamp", "div"} <= kept
    assert not {"addmm", "embedding"} & kept
