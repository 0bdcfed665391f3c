from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.compiler.families.rvc.convolution import WeightNormConv1d, WeightNormConvTranspose1d
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm

NORM = torch.ops.aten.linalg_vector_norm.default


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = WeightNormConv1d(3, 4, 3, dilation=2)
        self.up = WeightNormConvTranspose1d(4, 2, 4, stride=2, padding=1)
        with torch.no_grad():
            self.conv.weight_g.mul_(1.7)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.conv(x))


class NormOfInput(nn.Module):
    """Looks like weight norm, but depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.scale / torch.linalg.vector_norm(x, dim=1, keepdim=True))


class NormOfAnother(nn.Module):
    """A ratio of parameters that is no weight norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.other = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(2, 3))
        self.scale = nn.Parameter(torch.ones(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * (self.scale / torch.linalg.vector_norm(self.other, dim=1, keepdim=True))


def test_weight_norms_fold_into_weights(target: Target) -> None:
    program = check_pass(FoldWeightNorm(), component_of(Normed(), (1, 3, 20)), target, fires=True).program
    assert calls(program, NORM) == 0
    assert set(program.exported.state_dict) == {"conv.weight", "conv.bias", "up.weight", "up.bias"}


@pytest.mark.parametrize("module", [NormOfInput(), NormOfAnother()])
def test_another_norm_stays(target: Target, module: nn.Module) -> None:
    program = check_pass(FoldWeightNorm(), component_of(module, (2, 3)), target, fires=False).program
    assert calls(program, NORM) == 1
