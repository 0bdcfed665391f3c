from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.passes.simplify.drop_full_masks import DropFullMasks

aten = torch.ops.aten


class Masked(nn.Module):
    """A mask over the last axis with all but `missing` of its positions valid, used as VITS uses it."""

    def __init__(self, missing: int = 0) -> None:
        super().__init__()
        self.missing = missing

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[-1]
        lengths = torch.full((x.shape[0],), length - self.missing)
        mask = (torch.arange(length).unsqueeze(0) < lengths.unsqueeze(1)).unsqueeze(1).float()
        scores = (x * mask).masked_fill(mask == 0, -1e4)
        return torch.softmax(scores, -1)


class Broadcasting(nn.Module):
    """Ones that are multiplied with to make a tensor larger must stay."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.ones(4, 3)


@pytest.mark.parametrize("dynamic", [False, True])
def test_full_masks_go(target: Target, dynamic: bool) -> None:
    component = component_of(Masked(), (1, 2, "T"))
    program = check_pass(DropFullMasks(), component, target, fires=True, dynamic=dynamic).program
    assert calls(program, aten.mul.Tensor) == calls(program, aten.where.self) == 0


def test_a_partial_mask_stays(target: Target) -> None:
    check_pass(DropFullMasks(), component_of(Masked(missing=1), (1, 2, "T")), target, fires=False)


def test_ones_that_broadcast_stay(target: Target) -> None:
    check_pass(DropFullMasks(), component_of(Broadcasting(), (1, 3)), target, fires=False)
