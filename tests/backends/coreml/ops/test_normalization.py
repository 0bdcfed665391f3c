from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.backends.coreml.harness import check, voxc


def scrambled(norm: nn.Module) -> nn.Module:
    """With weights and biases that do something."""
    torch.manual_seed(0)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(tmp_path: Path, affine: bool) -> None:
    found = check(tmp_path, scrambled(nn.LayerNorm(6, elementwise_affine=affine)), (1, "T", 6))
    assert found == {"layer_norm": {"fp32": 1}}


def test_layer_norm_over_two_axes(tmp_path: Path) -> None:
    check(tmp_path, scrambled(nn.LayerNorm((4, 6))), (1, "T", 4, 6))


def test_layer_norm_over_channels(tmp_path: Path) -> None:
    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.empty(6)), nn.Parameter(torch.empty(6))

        def forward(self, x: Tensor) -> Tensor:
            return voxc.layer_norm_channels(x, self.weight, self.bias, 1e-5)

    assert check(tmp_path, scrambled(Norm()), (1, 6, 1, "T")) == {"layer_norm": {"fp32": 1}}


@pytest.mark.parametrize(("groups", "kind"), [(6, "instance_norm"), (2, "layer_norm"), (1, "layer_norm")])
@pytest.mark.parametrize("affine", [True, False])
def test_group_norm(tmp_path: Path, groups: int, kind: str, affine: bool) -> None:
    found = check(tmp_path, scrambled(nn.GroupNorm(groups, 6, affine=affine)), (1, 6, "T"))
    assert found[kind] == {"fp32": 1}


def test_group_norm_of_planes(tmp_path: Path) -> None:
    check(tmp_path, scrambled(nn.GroupNorm(3, 6)), (1, 6, 5, "T"))
