from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxc.backends.lowering.weight import Weight


def integers(shape: tuple[int, ...], axis: int) -> Weight:
    random = np.random.default_rng(0)
    array = random.integers(-127, 128, shape).astype(np.int8)
    return Weight("w", array, random.random(shape[axis]).astype(np.float32), axis)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 3))
def test_scales_move_with_their_axis(order: list[int], axis: int) -> None:
    weight = integers((2, 3, 4, 5), axis)
    moved = weight.transpose(*order)
    np.testing.assert_array_equal(moved.real, weight.real.transpose(order))
    assert moved.scale is weight.scale


@pytest.mark.parametrize(
    ("shape", "axis", "new", "kept"),
    [
        ((6, 4), 0, (6, 4, 1, 1), 0),
        ((6, 4), 1, (6, 1, 4), 2),
        ((6, 4, 1), 0, (6, 4), 0),
        ((6, 4), 0, (2, 3, 4), None),
        ((4, 6), 1, (2, 12), None),
        ((1, 6), 0, (6,), None),
    ],
)
def test_scales_stay_where_their_axis_does(
    shape: tuple[int, ...], axis: int, new: tuple[int, ...], kept: int | None
) -> None:
    weight = integers(shape, axis)
    moved = weight.reshape(new)
    np.testing.assert_array_equal(moved.real, weight.real.reshape(new))
    assert (moved.axis if moved.scale is not None else None) == kept
