from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.layout.fold_time_into_rows import FoldTimeIntoRows

CONVOLUTION = torch.ops.aten.convolution.default
LENGTH = 400


class Residual(nn.Module):
    """Residual blocks of different reach between an upsampling and an activation, as in a HiFi-GAN stage."""

    def __init__(self, channels: int = 4, groups: int = 1, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.ConvTranspose1d(2, channels, 4, stride=2, padding=1)
        self.near = nn.Conv1d(channels, channels, 3, padding=1, groups=groups, bias=bias)
        self.far = nn.Conv1d(channels, channels, 5, padding=6, dilation=3)
        self.last = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        y = self.up(x) + noise
        y = y + self.near(F.leaky_relu(self.far(F.leaky_relu(y, 0.1)), 0.1))
        return torch.tanh(self.last(y * 0.5)) + noise[:, :1]


class Chain(nn.Module):
    def __init__(self, *convs: nn.Conv1d) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(torch.relu(x))
        return x


def with_work_items(target: Target, work_items: int | None) -> Target:
    return target.model_copy(update={"work_items": work_items})


def row_counts(program: Program) -> set[int]:
    """How many rows the two-dimensional convolutions of a program have."""
    convs = [node for node in program.graph.nodes if node.target is CONVOLUTION and node.meta["val"].dim() == 4]
    return {node.meta["val"].shape[2] for node in convs}


@pytest.mark.parametrize("work_items", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("length", [LENGTH, LENGTH + 6])
@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"bias": False}], ids=["plain", "grouped", "no bias"])
def test_a_stage_becomes_rows_and_stays_exact(
    target: Target, work_items: int, length: int, options: dict[str, int]
) -> None:
    component = component_of(Residual(**options), (1, 2, length // 2), (1, 4, length))
    fold = FoldTimeIntoRows(least_length=100, most_overlap=1.0)
    result = check_pass(fold, component, with_work_items(target, work_items), fires=True)
    assert row_counts(result.program) == {work_items}
    assert f"{length} samples as {work_items} row" in result.notes[0]
    assert "halo 10" in result.notes[0]


def test_channels_make_work_items_too(target: Target) -> None:
    component = component_of(Residual(channels=100), (1, 2, LENGTH // 2), (1, 100, LENGTH))
    program = check_pass(FoldTimeIntoRows(least_length=100), component, with_work_items(target, 4), fires=True).program
    assert row_counts(program) == {2}


def test_the_overlap_is_bounded(target: Target) -> None:
    """A halo of 10 on both sides of each row: at most a tenth of 400 samples twice makes 2 rows."""
    component = component_of(Residual(), (1, 2, LENGTH // 2), (1, 4, LENGTH))
    program = check_pass(FoldTimeIntoRows(least_length=100), component, with_work_items(target, 8), fires=True).program
    assert row_counts(program) == {2}


def test_a_stage_too_short_to_cut_stays_and_says_so(target: Target) -> None:
    component = component_of(Residual(), (1, 2, 60), (1, 4, 120))
    result = check_pass(FoldTimeIntoRows(least_length=100), component, with_work_items(target, 8), fires=False)
    assert "120 samples stay one-dimensional" in result.notes[0]


@pytest.mark.parametrize(
    "convs",
    [
        [nn.Conv1d(2, 2, 3, padding=1)],
        [nn.Conv1d(2, 2, 3, padding=2), nn.Conv1d(2, 2, 3, padding=0)],
        [nn.Conv1d(2, 2, 4, padding=1, stride=2), nn.Conv1d(2, 2, 4, padding=1, stride=2)],
    ],
    ids=["one convolution alone", "changing the length", "strided"],
)
def test_what_is_no_stage_stays(target: Target, convs: list[nn.Conv1d]) -> None:
    component = component_of(Chain(*convs), (1, 2, LENGTH))
    check_pass(FoldTimeIntoRows(least_length=100), component, with_work_items(target, 4), fires=False)


def test_symbolic_lengths_stay(target: Target) -> None:
    chain = Chain(nn.Conv1d(2, 2, 3, padding=1), nn.Conv1d(2, 2, 3, padding=1))
    fold = FoldTimeIntoRows(least_length=1)
    check_pass(fold, component_of(chain, (1, 2, "T")), with_work_items(target, 4), fires=False, dynamic=True)


def test_targets_that_do_not_ask_for_it_do_not_get_it(target: Target) -> None:
    component = component_of(Residual(), (1, 2, LENGTH // 2), (1, 4, LENGTH))
    program = check_pass(
        FoldTimeIntoRows(least_length=100), component, with_work_items(target, None), fires=False
    ).program
    assert calls(program, CONVOLUTION) == 4
