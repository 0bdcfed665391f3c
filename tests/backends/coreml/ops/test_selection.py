from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.backends.coreml.harness import check
from voxc.compiler.core.errors import UnsupportedError

SHAPE = (2, 3, "T")


@pytest.mark.parametrize("part", [slice(1, None), slice(None, -2), slice(-5, -1), slice(0, 99), slice(1, 9, 3)])
def test_slices(tmp_path: Path, part: slice) -> None:
    found = check(tmp_path, lambda x: x[:, :, part] * 1.5, SHAPE)
    assert found.get("slice_by_index", {}) == ({} if part.stop == 99 else {"fp32": 1})


@pytest.mark.parametrize("index", [0, 2, -1])
def test_one_index(tmp_path: Path, index: int) -> None:
    assert check(tmp_path, lambda x: x[:, index], SHAPE) == {"slice_by_index": {"fp32": 1}}


def test_all_parts_of_a_split(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        first, second = torch.split(x, [1, 2], 1)
        return first + second

    assert check(tmp_path, network, SHAPE) == {"add": {"fp32": 1}, "split": {"fp32": 1}}


def test_one_part_of_a_split_is_a_slice(tmp_path: Path) -> None:
    assert check(tmp_path, lambda x: torch.split(x, [1, 2], 1)[1], SHAPE) == {"slice_by_index": {"fp32": 1}}


class Lookup(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 3)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        places = (x.abs() * 2).to(torch.int64).clamp(0, 4)
        if self.way == "embedding":
            return self.table(places)
        if self.way == "index":
            return self.table.weight[:, places[0, 0] % 3]
        return torch.gather(x[:, :, :5], 2, places[:, :, :7])


@pytest.mark.parametrize("way", ["embedding", "gather"])
def test_lookups(tmp_path: Path, way: str) -> None:
    check(tmp_path, Lookup(way), SHAPE)


def test_indices_of_one_axis(tmp_path: Path) -> None:
    places = torch.tensor([2, 0, 1, 1])
    assert check(tmp_path, lambda x: x[:, places], SHAPE) == {"gather": {"fp32": 1}}


def test_indices_of_two_axes_are_refused(tmp_path: Path) -> None:
    places = torch.tensor([2, 0, 1, 1])
    with pytest.raises(UnsupportedError, match="only one axis can be indexed at once"):
        check(tmp_path, lambda x: x[:, places, places], SHAPE)
