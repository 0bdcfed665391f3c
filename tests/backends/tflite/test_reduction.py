from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.backends.tflite.harness import check
from voxc.compiler.core.errors import UnsupportedError

SHAPE = (1, 4, "T")


def sums(x: Tensor) -> Tensor:
    """Kept and dropped axes, several of them, all of them, and a sum of truth values."""
    return x.sum(-1, keepdim=True) + x.sum((0, 1)) + x.sum() + (x > 0).sum(2)[:, :, None].float()


def means(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True) * x.mean((0, 1)) + x.mean((0, 1, 2))


def ranks(x: Tensor) -> Tensor:
    """The largest and the smallest, along the last axis and another, by value and by place."""
    values, places = x.topk(2)
    smallest, rows = x.topk(2, dim=1, largest=False)
    return x.gather(2, places).sum() * values.sum((1, 2)) + x.gather(1, rows) - 2 * smallest


def sums_so_far(x: Tensor) -> Tensor:
    return torch.cumsum(x, 1) + torch.softmax(x, 1)


@pytest.mark.parametrize("network", [sums, means, ranks, sums_so_far])
def test_reductions(tmp_path: Path, network: object) -> None:
    check(tmp_path, network, SHAPE)


def test_indices_for_a_part_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="the indices cover only a part of x"):
        check(tmp_path, lambda x: x.gather(2, x[:, :2].topk(2).indices), SHAPE)


def test_products_turn_their_right_operand_themselves(tmp_path: Path) -> None:
    def network(x: Tensor, y: Tensor) -> Tensor:
        return torch.bmm(x, y.permute(0, 2, 1)) + torch.bmm(x, y.permute(0, 2, 1).contiguous() * 2)

    found = check(tmp_path, network, (2, "T", 8), (2, 5, 8))
    assert found["BATCH_MATMUL"] == {"fp32": 2}
    assert found["TRANSPOSE"] == {"fp32": 1}


def test_linear_layers_of_several_kinds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight, bias, rows = torch.randn(8, 4), torch.randn(4), torch.randn(12, 4)

    def network(x: Tensor, y: Tensor) -> Tensor:
        return torch.addmm(bias, x, weight) + torch.addmm(rows, x, weight) + torch.mm(x, y)

    found = check(tmp_path, network, ("T", 8), (8, 4))
    assert found["FULLY_CONNECTED"] == {"fp32": 1}
    assert found["BATCH_MATMUL"] == {"fp32": 2}


def test_norms_over_several_axes_and_without_factors(tmp_path: Path) -> None:
    check(tmp_path, lambda x: F.layer_norm(x, (4, 12)) + F.layer_norm(x, (12,)) + F.group_norm(x, 2), SHAPE)
