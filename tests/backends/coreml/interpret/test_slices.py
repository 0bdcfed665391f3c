from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.backends.coreml.interpret.harness import check, few, mb, normal, seeds


@few
@given(
    seed=seeds,
    begin=st.tuples(st.integers(0, 3), st.integers(-4, 3)),
    length=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    free=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_a_slice_is_numpys(
    seed: int, begin: tuple[int, int], length: tuple[int, int], stride: tuple[int, int], free: tuple[bool, ...]
) -> None:
    x = normal(seed, 7, 8)
    starts = [first % size for first, size in zip(begin, (7, 8), strict=True)]
    ends = [min(first + many, size) for first, many, size in zip(starts, length, (7, 8), strict=True)]
    picked = tuple(
        slice(None if no_begin else first, None if no_end else last, step)
        for first, last, step, no_begin, no_end in zip(starts, ends, stride, free[:2], free[2:], strict=True)
    )
    check(
        lambda a: mb.slice_by_index(
            x=a, begin=list(begin), end=ends, stride=list(stride), begin_mask=list(free[:2]), end_mask=list(free[2:])
        ),
        x[picked],
        x,
    )


@pytest.mark.parametrize(
    ("begin", "end", "stride", "free"),
    [(6, 1, -2, (False, False)), (6, 0, -1, (False, True)), (0, 2, -1, (True, False)), (0, 0, -3, (True, True))],
)
def test_a_slice_may_go_backwards(begin: int, end: int, stride: int, free: tuple[bool, bool]) -> None:
    x = normal(0, 8, 3)
    picked = x.numpy()[slice(None if free[0] else begin, None if free[1] else end, stride)]
    check(
        lambda a: mb.slice_by_index(
            x=a,
            begin=[begin, 0],
            end=[end, 3],
            stride=[stride, 1],
            begin_mask=[free[0], True],
            end_mask=[free[1], True],
        ),
        torch.from_numpy(picked.copy()),
        x,
    )


def test_a_squeezed_axis_is_one_element() -> None:
    x = normal(0, 4, 5, 6)
    check(
        lambda a: mb.slice_by_index(
            x=a, begin=[-1, 1, 0], end=[0, 4, 0], end_mask=[False, False, True], squeeze_mask=[True, False, False]
        ),
        x[-1, 1:4],
        x,
    )


@few
@given(seed=seeds, first=st.integers(-5, 4), size=st.integers(1, 5))
def test_a_slice_by_size_ends_where_it_says(seed: int, first: int, size: int) -> None:
    x = normal(seed, 5, 4)
    start = first % 5
    size = min(size, 5 - start)
    check(lambda a: mb.slice_by_size(x=a, begin=[first, 1], size=[size, -1]), x[start : start + size, 1:], x)


@few
@given(seed=seeds, first=st.integers(0, 3), step=st.integers(1, 2))
def test_a_slice_is_replaced(seed: int, first: int, step: int) -> None:
    x = normal(seed, 6, 4)
    expected = x.clone()
    expected[first:6:step, 1:3] = 7.0
    update = torch.full(expected[first:6:step, 1:3].shape, 7.0)
    check(
        lambda a, b: mb.slice_update(x=a, update=b, begin=[first, 1], end=[6, 3], stride=[step, 1]),
        expected,
        x,
        update,
        opset="iOS18",
    )


@few
@given(seed=seeds, axis=st.integers(-3, 2), equal=st.booleans())
def test_parts_are_joined_again(seed: int, axis: int, equal: bool) -> None:
    x = normal(seed, 6, 6, 6)
    given_ = {"num_splits": 3} if equal else {"split_sizes": [1, 2, 3]}
    parts = x.split([2, 2, 2] if equal else [1, 2, 3], axis)
    check(lambda a: mb.split(x=a, axis=axis, **given_), parts, x)
    check(
        lambda a: mb.concat(values=list(mb.split(x=a, axis=axis, **given_))[::-1], axis=axis),
        torch.cat(parts[::-1], axis),
        x,
    )


def test_windows_slide() -> None:
    x = normal(0, 2, 9, 3)
    expected = x.unfold(1, 4, 2).movedim(-1, 2)
    check(lambda a: mb.sliding_windows(x=a, axis=1, size=4, stride=2), expected, x)


@few
@given(seed=seeds, lower=st.integers(-1, 3), upper=st.integers(-1, 3))
def test_a_band_stays(seed: int, lower: int, upper: int) -> None:
    x = normal(seed, 5, 6)
    rows, columns = torch.arange(5)[:, None], torch.arange(6)
    below = (rows - columns <= lower) | (lower < 0)
    above = (columns - rows <= upper) | (upper < 0)
    expected: Tensor = torch.where(below & above, x, 0)
    check(lambda a: mb.band_part(x=a, lower=lower, upper=upper), expected, x)
