from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.backends.coreml.harness import check

REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "reduce_mean": torch.mean,
    "reduce_sum": torch.sum,
    "reduce_max": torch.amax,
    "reduce_min": torch.amin,
}


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("axes", [(1,), (0, -1)])
@pytest.mark.parametrize("kind", REDUCTIONS)
def test_over_axes(tmp_path: Path, kind: str, axes: tuple[int, ...], keep: bool) -> None:
    found = check(tmp_path, lambda x: REDUCTIONS[kind](x, axes, keepdim=keep), (2, 3, "T"))
    assert found == {kind: {"fp32": 1}}


def test_over_all_of_them(tmp_path: Path) -> None:
    check(tmp_path, lambda x: torch.sum(x, dim=None, keepdim=True), (2, 3, "T"))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("axis", [1, -1])
def test_the_largest_and_the_smallest(tmp_path: Path, axis: int, largest: bool) -> None:
    def network(x: Tensor) -> Tensor:
        values, places = torch.topk(x, 2, axis, largest)
        return values + places

    assert check(tmp_path, network, (2, 3, "T"))["topk"] == {"fp32": 1}
