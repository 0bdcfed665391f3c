from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.backends.coreml.harness import HALF, check, voxc


class Product(nn.Module):
    """A product with constant weights, and a bias."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(8, 5, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [("T", 8), (2, "T", 8), (2, 3, "T", 8)])
def test_linear(tmp_path: Path, shape: tuple[int | str, ...], bias: bool) -> None:
    assert check(tmp_path, Product(bias), shape)["linear"] == {"fp32": 1}


def test_products_of_two_tensors(tmp_path: Path) -> None:
    assert check(tmp_path, torch.bmm, (2, "T", 3), (2, 3, 5))["matmul"] == {"fp32": 1}


def test_the_operator_turns_its_operands_itself(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x, y: torch.bmm(x.transpose(1, 2), y.transpose(1, 2)), (2, 3, "T"), (2, 5, 3))
    assert found == {"matmul": {"fp32": 1}}


def test_other_permutations_are_written(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x, y: torch.bmm(x.permute(1, 0, 2), y.permute(2, 1, 0)), ("T", 2, 3), (5, 3, 2))
    assert found["transpose"] == {"fp32": 2}


def test_a_sum_with_a_bias_that_is_computed(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x, y, z: torch.addmm(z, x, y), ("T", 3), (3, 5), (5,))
    assert found == {"add": {"fp32": 1}, "matmul": {"fp32": 1}}


def test_matrices_on_channels_and_width(tmp_path: Path) -> None:
    found = check(tmp_path, voxc.matmul_channels, (2, 3, 4, 5), (2, 5, 4, "T"))
    assert found == {"einsum": {"fp32": 1}}


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(tmp_path: Path, axis: int) -> None:
    assert check(tmp_path, lambda x: torch.softmax(x, axis), (2, 3, "T")) == {"softmax": {"fp32": 1}}


def test_cumulative_sums(tmp_path: Path) -> None:
    assert check(tmp_path, lambda x: torch.cumsum(x, 1), (2, "T", 3)) == {"cumsum": {"fp32": 1}}


def test_in_float16(tmp_path: Path) -> None:
    found = check(tmp_path, Product(True), ("T", 8), plan=HALF, tolerance=1e-2)
    assert found["linear"] == {"fp16": 1}
