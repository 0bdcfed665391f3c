from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.compiler.families.rvc.flow import CouplingFlow
from voxc.passes.layout.fold_flips import FoldFlips
from voxc.passes.simplify.drop_full_masks import DropFullMasks
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm

FLIP = torch.ops.aten.flip.default
EARLIER = (FoldWeightNorm(), DropFullMasks())


class Flow(nn.Module):
    """RVC's flow with a full mask."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.flow = CouplingFlow(6, 8, 4)

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        return self.flow(x, torch.ones(1, 1, x.shape[-1]), speaker)


class Flipped(nn.Module):
    def __init__(self, axis: int = 1, groups: int = 1, transposed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.axis = axis
        self.conv = (nn.ConvTranspose1d if transposed else nn.Conv1d)(4, 4, 3, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.tanh(torch.flip(x, [self.axis])))


class SlicedHalves(nn.Module):
    """A flip seen through slices, a split, arithmetic with a convolution, and a concatenation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.channels = channels  # the axis, counted from either end
        self.conv = nn.Conv1d(2, 3, 1)
        self.last = nn.Conv1d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        channels = self.channels
        y = torch.flip(x, [channels])
        first, second = torch.split(y, [2, 3], channels)
        moved = (second - self.conv(first)) * 0.5
        joined = self.last(torch.cat([first, moved], channels).narrow(-1, 1, 8))
        return joined + torch.flip(torch.flip(x, [channels]), [channels]).narrow(channels, 3, 2)[:, :, 1:]


class AnotherAxis(nn.Module):
    """Channels that become the batch of a larger result."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(4, 2, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.conv(torch.flip(x, [1]) + y)


class FlippedOutput(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.flip(x, [1]) * 2


def test_the_flow_of_rvc_loses_its_flips(target: Target) -> None:
    component = component_of(Flow(), (1, 6, "T"), (1, 4, 1))
    program = check_pass(FoldFlips(), component, target, fires=True, first=EARLIER, dynamic=True).program
    assert calls(program, FLIP) == 0


@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_absorbs_a_flip(target: Target, transposed: bool) -> None:
    component = component_of(Flipped(transposed=transposed), (1, 4, 9))
    assert calls(check_pass(FoldFlips(), component, target, fires=True).program, FLIP) == 0


@pytest.mark.parametrize("channels", [1, -2])
def test_flips_travel_through_slices_splits_and_sums(target: Target, channels: int) -> None:
    component = component_of(SlicedHalves(channels), (1, 5, 9))
    assert calls(check_pass(FoldFlips(), component, target, fires=True).program, FLIP) == 0


@pytest.mark.parametrize(
    ("module", "reason"),
    [(Flipped(groups=2), "conv"), (FlippedOutput(), "output")],
    ids=["grouped convolution", "network output"],
)
def test_a_flip_that_nobody_absorbs_stays_and_says_why(target: Target, module: nn.Module, reason: str) -> None:
    result = check_pass(FoldFlips(), component_of(module, (1, 4, 9)), target, fires=False)
    assert calls(result.program, FLIP) == 1
    assert reason in result.notes[0]


def test_channels_that_become_another_axis_are_put_right_first(target: Target) -> None:
    component = component_of(AnotherAxis(), (4, 5), (1, 1, 5))
    check_pass(FoldFlips(), component, target, fires=False)


def test_a_flip_in_time_is_none_of_its_business(target: Target) -> None:
    check_pass(FoldFlips(), component_of(Flipped(axis=2), (1, 4, 9)), target, fires=False)
