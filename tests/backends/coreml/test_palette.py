from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from voxc.backends.coreml.palette import COLOURS, pack, palette

TENSORS = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=3, max_side=9), elements=st.floats(-3, 3, width=16)
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TENSORS)
def test_each_element_gets_the_nearest_colour(array: np.ndarray) -> None:
    table, places = palette(array)
    assert table.shape == (COLOURS,)
    found = table[places].reshape(array.shape)
    best = table[np.abs(array[..., None] - table).argmin(-1)]
    np.testing.assert_allclose(np.abs(array - found), np.abs(array - best), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(TENSORS)
def test_few_values_are_kept_and_the_same_always_gives_the_same(array: np.ndarray) -> None:
    few = np.round(array * 2) / 2
    table, places = palette(few)
    np.testing.assert_array_equal(palette(few)[0], table)
    if np.unique(few).size <= 2:
        np.testing.assert_allclose(table[places].reshape(few.shape), few, atol=1e-6)


@pytest.mark.parametrize(("kind", "best"), [("standard_normal", 20.22), ("laplace", 18.13)])
def test_as_good_as_the_best_for_known_distributions(kind: str, best: float) -> None:
    """In dB, of sixteen numbers, as tables of Lloyd-Max quantizers have it."""
    array = getattr(np.random.default_rng(0), kind)(size=200_000).astype(np.float32)
    table, places = palette(array)
    noise = table[places] - array
    assert abs(10 * np.log10((array**2).mean() / (noise**2).mean()) - best) < 0.1


def test_two_places_to_a_byte() -> None:
    assert pack(np.array([1, 2, 15], np.uint8)).tolist() == [0x21, 0x0F]
