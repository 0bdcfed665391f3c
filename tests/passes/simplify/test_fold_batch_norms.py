from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.passes.simplify.fold_batch_norms import FoldBatchNorms

aten = torch.ops.aten
NORM = aten._native_batch_norm_legit_no_training.default


def settled(module: nn.Module) -> nn.Module:
    """With statistics and weights that are not those of a new layer."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and "weight" not in name.rpartition(".")[2]:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


class Shared(nn.Module):
    """Something else uses the convolution too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + y


@pytest.mark.parametrize(
    ("convolution", "norm", "shape"),
    [
        (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), (1, 3, 20)),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(6), (1, 4, 5, 6)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6), (1, 4, 5, 6)),
        (nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), nn.BatchNorm1d(6), (1, 4, 9)),
        (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4, affine=False), (1, 3, 20)),
    ],
    ids=["1-D", "grouped", "transposed", "transposed in groups", "without weights"],
)
def test_they_fold_into_convolutions(
    target: Target, convolution: nn.Module, norm: nn.Module, shape: tuple[int, ...]
) -> None:
    component = component_of(settled(nn.Sequential(convolution, norm)), shape)
    result = check_pass(FoldBatchNorms(), component, target, fires=True)
    assert result.notes == ("1 batch norms folded into convolutions, 0 written as products and sums",)
    assert calls(result.program, NORM) == calls(result.program, aten.mul.Tensor) == 0


@pytest.mark.parametrize(
    ("module", "shape"),
    [(Shared(), (1, 3, 20)), (nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.BatchNorm1d(4)), (1, 3, 20)),
     (nn.BatchNorm2d(1), (1, 1, 5, 6)), (nn.BatchNorm1d(5), (2, 5))],
    ids=["shared", "behind another", "alone", "rank 2"],
)  # fmt: skip
def test_behind_anything_else_they_are_arithmetic(target: Target, module: nn.Module, shape: tuple[int, ...]) -> None:
    result = check_pass(FoldBatchNorms(), component_of(settled(module), shape), target, fires=True)
    assert result.notes == ("0 batch norms folded into convolutions, 1 written as products and sums",)
    assert calls(result.program, NORM) == 0


def test_nothing_to_fold(target: Target) -> None:
    check_pass(FoldBatchNorms(), component_of(nn.Conv1d(3, 4, 3), (1, 3, 20)), target, fires=False)
