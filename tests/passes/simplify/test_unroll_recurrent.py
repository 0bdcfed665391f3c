from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.compiler.networks.recurrent import BidirectionalGru
from voxc.passes.simplify.unroll_recurrent import UnrollRecurrent

GRU = torch.ops.voxc.gru.default


class OneWay(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        shapes = (1, 9, 4), (1, 9, 3), (1, 18)
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(shape)) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.voxc.gru(x, *self.weights)


@pytest.fixture(scope="module")
def without(target: Target) -> Target:
    return target.model_copy(update={"recurrent": False})


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("module", [BidirectionalGru(4, 3, 2), OneWay()], ids=["both ways, two layers", "one way"])
def test_written_out_in_time(without: Target, module: nn.Module, batch: int) -> None:
    result = check_pass(UnrollRecurrent(), component_of(module, (batch, FRAMES, 4)), without, fires=True)
    layers = len(result.notes)
    assert result.notes[0].endswith(f"a recurrent layer of {FRAMES} steps written out")
    assert calls(result.program, GRU) == 0
    assert calls(result.program, torch.ops.aten.tanh.default) == layers * FRAMES


def test_runtimes_with_recurrent_layers_keep_them(target: Target) -> None:
    check_pass(UnrollRecurrent(), component_of(BidirectionalGru(4, 3, 1), (1, FRAMES, 4)), target, fires=False)


def test_what_cannot_be_written_out(without: Target) -> None:
    component = component_of(BidirectionalGru(4, 3, 1), (1, "T", 4))
    (note,) = check_pass(UnrollRecurrent(), component, without, fires=False, dynamic=True).notes
    assert note.endswith("a recurrent layer stays: the number of its steps is not known")
    (note,) = check_pass(UnrollRecurrent(most_steps=5), component, without, fires=False).notes
    assert note.endswith("a recurrent layer stays: it has 12 steps, more than 5")
