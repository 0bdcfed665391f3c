from __future__ import annotations

import pytest

from voxc.backends.lowering.padding import crops_and_pads, pad_pairs


def test_pairs_come_from_the_last_axis_on() -> None:
    assert pad_pairs([1, 2, 3, 4], rank=3) == [(0, 0), (3, 4), (1, 2)]


def test_sizes_may_be_anything() -> None:
    assert pad_pairs(["before", 0], rank=2) == [(0, 0), ("before", 0)]


@pytest.mark.parametrize(
    ("padding", "crops", "pads"),
    [
        ([2, 3], [(0, 0), (0, 0)], [(0, 0), (2, 3)]),
        ([-2, 3], [(0, 0), (2, 0)], [(0, 0), (0, 3)]),
        ([0, -1, 4, 0], [(0, 0), (0, 1)], [(4, 0), (0, 0)]),
    ],
)
def test_negative_sizes_are_cut_off(
    padding: list[int], crops: list[tuple[int, int]], pads: list[tuple[int, int]]
) -> None:
    assert crops_and_pads(padding, rank=2) == (crops, pads)
