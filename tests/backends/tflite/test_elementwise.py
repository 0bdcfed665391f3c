from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.backends.tflite.harness import check
from voxc.compiler.core.errors import UnsupportedError

SHAPE = (1, 4, "T")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x + 3.5).reciprocal() + torch.rsqrt(x.abs() + 1) + torch.ceil(x) + x**3 + 2 / (x.abs() + 1),
        lambda x: torch.where(torch.logical_not(x > 0), x * 2, torch.neg(x)),
        lambda x: x.clamp(min=0.1) + x.clamp(max=0.3) + x.clamp(-0.5, float("inf")),
        lambda x: (x <= 0.1).float() + (x >= 0.2).float() + (x == 0.3).float() + (x < 0.4).int().float(),
        lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
        lambda x: F.leaky_relu(x, 0.2) - torch.remainder(x, 0.3),
    ],
)
def test_elementwise(tmp_path: Path, function: object) -> None:
    check(tmp_path, function, SHAPE)


def test_whole_numbers(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        steps = (x * 4).to(torch.int64)
        return (steps * 3 + steps - 2).to(torch.float32)

    check(tmp_path, network, SHAPE)


def test_alpha_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"aten.add.Tensor in test \(node add, harness.py:\d+\): alpha=2"):
        check(tmp_path, lambda x: torch.add(x, x.abs(), alpha=2), SHAPE)
