from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import program_of
from voxc.passes.kit.value_ranges import ValueRanges


class Lambda(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return x + self.function(x)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("function", "constant"),
    [
        (lambda x: torch.full((3,), 2.5), 2.5),
        (lambda x: torch.full((3,), 2.0).unsqueeze(0).expand(4, 3) * 3.0, 6.0),
        (lambda x: (torch.arange(3) < torch.full((3,), 3)).float(), 1),
        (lambda x: (torch.arange(3) < torch.full((3,), 0)).float(), 0),
        (lambda x: (torch.arange(3) < torch.full((3,), 2)).float(), None),
        (lambda x: (torch.ones(3) == 0).float(), 0),
        (lambda x: torch.arange(3).float(), None),
        (lambda x: x * 0, None),
    ],
)
def test_constants_are_proven_or_not(function: object, constant: float | None) -> None:
    program = program_of(Lambda(function), (4, 3))
    (sum_of,) = (node for node in program.graph.nodes if node.target is torch.ops.aten.add.Tensor)
    assert ValueRanges().constant(sum_of.args[1]) == constant
