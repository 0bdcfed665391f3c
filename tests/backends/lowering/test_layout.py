from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.passes.harness import program_of
from voxc.backends.lowering.layout import (
    inverse,
    keeps_order,
    swaps_last_two,
    to_channels_first,
    to_channels_last,
    to_end,
    without,
)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_channels_go_last_and_come_back(rank: int) -> None:
    shape = torch.zeros(2, 3, *range(4, 2 + rank)).permute(to_channels_last(rank)).shape
    assert (shape[0], shape[-1]) == (2, 3)
    assert inverse(to_channels_last(rank)) == to_channels_first(rank)


@given(st.permutations(range(4)), st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_an_order_is_kept_if_the_elements_stay_as_they_lie(order: list[int], shape: list[int]) -> None:
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    assert keeps_order(shape, order) == torch.equal(x.permute(order).reshape(-1), x.reshape(-1))


def test_one_axis_goes_to_the_end() -> None:
    assert to_end(1, 4) == (0, 2, 3, 1)
    assert to_end(-2, 3) == (0, 2, 1)


def test_one_axis_is_left_out() -> None:
    assert without((2, 3, 4), 1) == (2, 4)


@pytest.mark.parametrize(("order", "expected"), [((0, 2, 1), True), ((0, -1, 1), True), ((2, 1, 0), False)])
def test_an_exchange_of_the_last_two_axes(order: tuple[int, ...], expected: bool) -> None:
    class Permuted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(order)

    program = program_of(Permuted(), (2, 3, 4))
    (node,) = (node for node in program.graph.nodes if node.target is torch.ops.aten.permute.default)
    assert swaps_last_two(node) == expected
