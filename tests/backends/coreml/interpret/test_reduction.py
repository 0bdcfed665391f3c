from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.backends.coreml.interpret.harness import check, few, integers, mb, normal, seeds

Reduced = Callable[[Tensor, list[int], bool], Tensor]
REDUCTIONS: dict[str, Reduced] = {
    "reduce_l1_norm": lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep),
    "reduce_l2_norm": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "reduce_log_sum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "reduce_log_sum_exp": lambda x, axes, keep: torch.logsumexp(x, axes, keep),
    "reduce_max": lambda x, axes, keep: x.amax(axes, keep),
    "reduce_mean": lambda x, axes, keep: x.mean(axes, keep),
    "reduce_min": lambda x, axes, keep: x.amin(axes, keep),
    "reduce_sum": lambda x, axes, keep: x.sum(axes, keep),
    "reduce_sum_square": lambda x, axes, keep: x.square().sum(axes, keep),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@few
@given(seed=seeds, axes=st.sampled_from([[0], [1], [-1], [0, 2], [-2, -1], [0, 1, 2]]), keep=st.booleans())
def test_a_reduction_is_torchs(name: str, seed: int, axes: list[int], keep: bool) -> None:
    x = normal(seed, 2, 3, 4)
    if name == "reduce_log_sum":
        x = x.abs()
    expected = REDUCTIONS[name](x, axes, keep)
    if len(axes) < 3 or keep:  # one number has no shape in a model's output
        check(lambda a: getattr(mb, name)(x=a, axes=axes, keep_dims=keep), expected, x)


@pytest.mark.parametrize("keep", [False, True])
def test_a_product_takes_several_axes(keep: bool) -> None:
    x = normal(0, 2, 3, 4)
    expected = x.prod(2, keep).prod(1, keep)
    check(lambda a: mb.reduce_prod(x=a, axes=[1, 2], keep_dims=keep), expected, x)


def test_sums_of_integers_stay_integers() -> None:
    x = integers(0, -50, 50, 3, 4)
    check(lambda a: mb.reduce_sum(x=a, axes=[1], keep_dims=False), x.sum(1).to(torch.int32), x, tolerance=0)


def test_means_in_float16_sum_in_float32() -> None:
    x = torch.full((1, 5000), 100.0).half()
    check(lambda a: mb.reduce_mean(x=a, axes=[1], keep_dims=True), torch.full((1, 1), 100.0).half(), x, tolerance=0)


@pytest.mark.parametrize("name", ["reduce_argmax", "reduce_argmin"])
@few
@given(seed=seeds, axis=st.integers(-3, 2), keep=st.booleans())
def test_the_place_of_the_largest_is_torchs(name: str, seed: int, axis: int, keep: bool) -> None:
    x = normal(seed, 2, 3, 4)
    pick = torch.argmax if name == "reduce_argmax" else torch.argmin
    check(lambda a: getattr(mb, name)(x=a, axis=axis, keep_dims=keep), pick(x, axis, keep).to(torch.int32), x)


@few
@given(seed=seeds, axis=st.integers(-1, 1), exclusive=st.booleans(), reverse=st.booleans())
def test_running_sums_go_either_way_and_may_leave_the_element_out(
    seed: int, axis: int, exclusive: bool, reverse: bool
) -> None:
    x = normal(seed, 3, 5)
    turned = x.flip(axis) if reverse else x
    sums = turned.cumsum(axis)
    sums = sums - turned if exclusive else sums
    expected = sums.flip(axis) if reverse else sums
    check(lambda a: mb.cumsum(x=a, axis=axis, exclusive=exclusive, reverse=reverse), expected, x)


@few
@given(seed=seeds, axis=st.integers(-2, 1), ascending=st.booleans(), count=st.integers(1, 3))
def test_the_best_and_their_places_are_torchs(seed: int, axis: int, ascending: bool, count: int) -> None:
    x = normal(seed, 4, 5)
    order = torch.argsort(x, axis, descending=not ascending).to(torch.int32)
    check(lambda a: mb.argsort(x=a, axis=axis, ascending=ascending), order, x)
    best = torch.topk(x, count, axis, largest=not ascending)
    check(
        lambda a: mb.topk(x=a, k=count, axis=axis, ascending=ascending),
        [best.values, best.indices.to(torch.int32)],
        x,
    )
