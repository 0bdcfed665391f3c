from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.coreml.interpret.harness import check, evaluate, few, integers, mb, normal, seeds
from voxc.compiler.core.errors import BundleError

MODES = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@few
@given(seed=seeds, axis=st.integers(-3, 2))
def test_slices_are_gathered(seed: int, axis: int) -> None:
    x = normal(seed, 4, 5, 6)
    size = x.shape[axis]
    places = integers(seed + 1, -size, size, 2, 3)
    lead = x.shape[: axis % 3]
    expected = x.index_select(axis, (places % size).reshape(-1).long()).reshape(*lead, 2, 3, *x.shape[axis % 3 + 1 :])
    check(lambda a, b: mb.gather(x=a, indices=b, axis=axis, validate_indices=False), expected, x, places)


def test_one_slice_is_gathered_by_one_place() -> None:
    x, place = normal(0, 4, 5), torch.tensor([2], dtype=torch.int32)
    check(lambda a, b: mb.gather(x=a, indices=mb.squeeze(x=b), validate_indices=False), x[2], x, place)


def test_slices_are_gathered_row_by_row() -> None:
    x, places = normal(0, 2, 5, 3), integers(1, 0, 5, 2, 4)
    expected = torch.stack([x[row, places[row].long()] for row in range(2)])
    check(lambda a, b: mb.gather(x=a, indices=b, axis=1, batch_dims=1, validate_indices=False), expected, x, places)


@few
@given(seed=seeds, axis=st.integers(-2, 1))
def test_elements_are_gathered_along_an_axis(seed: int, axis: int) -> None:
    x = normal(seed, 4, 5)
    places = integers(seed + 1, -4, 4, *((2, 5) if axis % 2 == 0 else (4, 3)))
    expected = x.gather(axis, (places % x.shape[axis]).long())
    check(lambda a, b: mb.gather_along_axis(x=a, indices=b, axis=axis, validate_indices=False), expected, x, places)


@few
@given(seed=seeds, depth=st.integers(1, 3), batch=st.integers(0, 1))
def test_points_are_gathered(seed: int, depth: int, batch: int) -> None:
    depth = min(depth, 3 - batch)
    x = normal(seed, 3, 4, 5)
    points = torch.stack([integers(seed + place, 0, 3, 3, 2) for place in range(depth)], -1)
    columns = points.long().unbind(-1)
    rows = (torch.arange(3)[:, None],) if batch else ()
    check(
        lambda a, b: mb.gather_nd(x=a, indices=b, batch_dims=batch, validate_indices=False),
        x[(*rows, *columns)],
        x,
        points,
    )


@pytest.mark.parametrize("mode", [*MODES, "update", "sub", "div"])
@few
@given(seed=seeds, axis=st.integers(-2, 1))
def test_updates_are_scattered(mode: str, seed: int, axis: int) -> None:
    x = normal(seed, 4, 5).abs() + 0.5
    size = x.shape[axis]
    places = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:3].to(torch.int32)
    shape = list(x.shape)
    shape[axis] = 3
    updates = normal(seed + 1, *shape).abs() + 0.5
    spread = places.long().reshape(-1, *[1] * (1 - axis % 2)).expand(shape)
    if mode in MODES:
        expected = x.scatter_reduce(axis, spread, updates, MODES[mode])
    else:
        old = x.gather(axis, spread)
        new = {"update": updates, "sub": old - updates, "div": old / updates}[mode]
        expected = x.scatter(axis, spread, new)
    check(
        lambda a, b, c: mb.scatter(data=a, indices=b, updates=c, axis=axis, mode=mode, validate_indices=False),
        expected,
        x,
        places,
        updates,
    )
    check(
        lambda a, b, c: mb.scatter_along_axis(
            data=a, indices=b, updates=c, axis=axis, mode=mode, validate_indices=False
        ),
        expected,
        x,
        spread.to(torch.int32).contiguous(),
        updates,
    )


def test_updates_at_points_add_up() -> None:
    x = normal(0, 4, 5)
    points = torch.tensor([[0, 1], [3, 4], [0, 1]], dtype=torch.int32)
    updates = normal(1, 3)
    expected = x.clone()
    for (row, column), update in zip(points.tolist(), updates, strict=True):
        expected[row, column] += update
    check(
        lambda a, b, c: mb.scatter_nd(data=a, indices=b, updates=c, mode="add", validate_indices=False),
        expected,
        x,
        points,
        updates,
    )


@few
@given(seed=seeds, axis=st.integers(-3, 2))
def test_one_is_hot(seed: int, axis: int) -> None:
    places = integers(seed, -1, 5, 2, 3)
    hot = (places.unsqueeze(-1) == torch.arange(4)).float() * 2.5 - 0.5
    check(
        lambda a: mb.one_hot(indices=a, one_hot_vector_size=4, axis=axis, on_value=2.0, off_value=-0.5),
        hot.movedim(-1, axis),
        places,
    )


def test_places_that_are_not_zero() -> None:
    x = integers(0, 0, 2, 3, 4)
    check(lambda a: mb.non_zero(x=a), x.nonzero().to(torch.int32), x)


def test_a_place_beyond_the_axis_is_refused() -> None:
    with pytest.raises(BundleError, match="gather .*: indices beyond the 4 elements"):
        evaluate(
            lambda a, b: mb.gather(x=a, indices=b, validate_indices=False),
            normal(0, 4),
            torch.tensor([4], dtype=torch.int32),
        )
