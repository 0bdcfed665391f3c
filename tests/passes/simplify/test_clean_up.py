from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten


class Cluttered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 5, 3))

    def forward(self, x: Tensor) -> Tensor:
        table = torch.nn.functional.pad(self.table, (0, 0, 2, 2))[:, 1:6]
        return (x.clone().expand(1, 5, 3)[:, 0:5] + table).to(torch.float32).detach()


class Tidy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.transpose(1, 2).reshape(1, 15))


def test_copies_go_and_constants_fold(target: Target) -> None:
    program = check_pass(CleanUp(), component_of(Cluttered(), (1, 5, 3)), target, fires=True).program
    assert [node.target for node in program.graph.nodes if node.op == "call_function"] == [aten.add.Tensor]


def test_a_tidy_graph_is_left_alone(target: Target) -> None:
    check_pass(CleanUp(), component_of(Tidy(), (1, 5, 3)), target, fires=False)


def test_large_constants_are_not_materialised(target: Target) -> None:
    small = CleanUp(most_folded_bytes=16)
    program = check_pass(small, component_of(Cluttered(), (1, 5, 3)), target, fires=True).program
    assert calls(program, aten.constant_pad_nd.default) == 1
