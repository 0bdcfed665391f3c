from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass
from voxc.passes.simplify.clean_up import CleanUp
from voxc.passes.source.sums_as_products import SumsAsProducts

aten = torch.ops.aten
FIRST: tuple[Pass, ...] = (CleanUp(),)


class Sum(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, self.axis) * 0.5


class Two(nn.Module):
    """Two sums of one length, which share a triangle."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, 1) + torch.cumsum(x * 2, 1)


@pytest.fixture(scope="module")
def without(target: Target) -> Target:
    return target.model_copy(update={"scans": False})


@pytest.mark.parametrize(("shape", "axis"), [((1, 12), 1), ((1, 12), -1), ((7, 3), 0), ((2, 5, 3), 1), ((2, 3, 4), 2),
                                             ((9,), 0), ((2, 3, 4, 5), 1)])  # fmt: skip
def test_sums_along_any_axis(without: Target, shape: tuple[int, ...], axis: int) -> None:
    result = check_pass(SumsAsProducts(), component_of(Sum(axis), shape), without, fires=True, first=FIRST)
    assert calls(result.program, aten.cumsum.default) == 0
    assert calls(result.program, aten.mm.default) == 1
    assert result.notes == (f"cumsum: a cumulative sum of {shape[axis]} as a product",)


def test_equal_lengths_share_a_triangle(without: Target) -> None:
    result = check_pass(SumsAsProducts(), component_of(Two(), (1, 12)), without, fires=True, first=FIRST)
    assert sorted(result.program.exported.state_dict) == ["triangle_12"]


@pytest.mark.parametrize("length", [1025, 2000])
def test_long_sums_stay(without: Target, length: int) -> None:
    result = check_pass(SumsAsProducts(), component_of(Sum(1), (1, length)), without, fires=False, first=FIRST)
    assert result.notes == ("cumsum: a cumulative sum stays: it is over more than 1024 numbers",)


@pytest.mark.parametrize(("shape", "axis"), [((1, "T"), 1), (("T", 3), 0), ((2, "T"), -1)])
def test_lengths_that_are_not_known(without: Target, shape: tuple[int | str, ...], axis: int) -> None:
    result = check_pass(
        SumsAsProducts(), component_of(Sum(axis), shape), without, fires=True, first=FIRST, dynamic=True
    )
    assert calls(result.program, aten.cumsum.default) == 0
    assert calls(result.program, aten.arange.start_step) == 0  # whose ends TensorRT's parser takes from the file alone
    assert result.notes == ("cumsum: a cumulative sum of all frames as a product",)


def test_lengths_beyond_all_numbers_stay(without: Target) -> None:
    """One of 2 * T may be as long as all segments, and twice."""
    program = export(component_of(Sum(1), (1, "2*T")), {"T": 12}, dynamic=True)
    result = SumsAsProducts()(program, without)
    assert not result.modified
    assert result.notes == ("cumsum: a cumulative sum stays: its length is not known",)


def test_equal_lengths_that_are_not_known_share_a_triangle(without: Target) -> None:
    program = check_pass(
        SumsAsProducts(), component_of(Two(), (1, "T")), without, fires=True, first=FIRST, dynamic=True
    ).program
    assert sorted(program.exported.state_dict) == ["frame_numbers"]
    assert calls(program, aten.gt.Tensor) == 1


def test_lengths_that_are_not_known_stay_in_higher_ranks(without: Target) -> None:
    component = component_of(Sum(1), (1, "T", 2))
    result = check_pass(SumsAsProducts(), component, without, fires=False, first=FIRST, dynamic=True)
    assert result.notes == ("cumsum: a cumulative sum stays: its length is not known",)


def test_targets_with_scans_keep_them(target: Target) -> None:
    check_pass(SumsAsProducts(), component_of(Sum(1), (1, 12)), target, fires=False, first=FIRST)
