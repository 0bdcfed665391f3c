from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.backends.coreml.harness import check
from voxc.compiler.core.errors import UnsupportedError

SHAPE = (2, 3, "T")


def test_views_and_axes_of_size_one(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x: x.reshape(1, 6, -1).unsqueeze(1).squeeze(0).reshape(2, -1), SHAPE)
    assert found == {"expand_dims": {"fp32": 1}, "reshape": {"fp32": 2}, "squeeze": {"fp32": 1}}


def test_a_permutation_that_moves_only_axes_of_size_one_is_a_reshape(tmp_path: Path) -> None:
    assert check(tmp_path, lambda x: x.permute(1, 0, 2), (1, 3, "T")) == {"reshape": {"fp32": 1}}


def test_permutations(tmp_path: Path) -> None:
    assert check(tmp_path, lambda x: x.permute(2, -3, 1), SHAPE) == {"transpose": {"fp32": 1}}
    assert check(tmp_path / "other", lambda x: x.transpose(0, -1), SHAPE) == {"transpose": {"fp32": 1}}


def test_repetition_of_axes_and_new_ones(tmp_path: Path) -> None:
    assert check(tmp_path, lambda x: x.unsqueeze(0).expand(4, 2, 5, 3, -1), (2, 1, 3, "T"))["tile"] == {"fp32": 1}


def test_reversal_and_joining(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x: torch.cat([x.flip(2), x.flip(0, 1)], -1), SHAPE)
    assert found == {"concat": {"fp32": 1}, "reverse": {"fp32": 2}}


def test_joining_numbers_of_two_types(tmp_path: Path) -> None:
    check(tmp_path, lambda x: torch.cat([x, (x * 5).to(torch.int32)], 1), SHAPE)


@pytest.mark.parametrize("pads", [(1, 2), (0, 3, 1, 0), (-1, 2), (-2, -1, 1, 1), (1, 0, 0, 0, 2, 1)])
@pytest.mark.parametrize("filler", [0.0, -1.5])
def test_surroundings(tmp_path: Path, pads: tuple[int, ...], filler: float) -> None:
    check(tmp_path, lambda x: F.pad(x, pads, value=filler), SHAPE)


def test_surroundings_of_integers(tmp_path: Path) -> None:
    check(tmp_path, lambda x: F.pad((x * 5).to(torch.int32), (1, 1), value=7).float(), SHAPE)


def test_constants_are_laid_out_at_once(tmp_path: Path) -> None:
    class Constants(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = nn.Parameter(torch.randn(3, 1))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.table.t().unsqueeze(0).reshape(1, 3, 1).squeeze(0).expand(2, 3, 1)

    assert check(tmp_path, Constants(), SHAPE) == {"add": {"fp32": 1}}


def test_more_axes_than_core_ml_has(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="a tensor of 6 axes; Core ML has 5 at most"):
        check(tmp_path, lambda x: x.reshape(1, 1, 1, 2, 3, -1) + 1, SHAPE)
