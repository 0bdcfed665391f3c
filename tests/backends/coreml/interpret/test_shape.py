from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.backends.coreml.interpret.harness import check, evaluate, few, mb, normal, seeds
from voxc.compiler.core.errors import BundleError


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([6, 4], [6, 4]),
        ([-1, 4], [6, 4]),
        ([0, -1], [3, 8]),  # a 0 is the size at the same place from the back
        ([1, 0, -1, 0], [1, 2, 3, 4]),
        ([0, 0, 0, 0], [1, 2, 3, 4]),
    ],
)
def test_shapes_may_leave_sizes_open(shape: list[int], expected: list[int]) -> None:
    x = normal(0, 2, 3, 4)
    check(lambda a: mb.reshape(x=a, shape=shape), x.reshape(expected), x)


def test_a_shape_may_be_computed() -> None:
    x = normal(0, 2, 3, 4)

    def build(a: object) -> object:
        sizes = mb.shape(x=a)
        rows = mb.slice_by_index(x=sizes, begin=[0], end=[1])
        return mb.reshape(x=a, shape=mb.concat(values=[rows, [12]], axis=0))

    check(build, x.reshape(2, 12), x)


@few
@given(seed=seeds, order=st.permutations([0, 1, 2, 3]))
def test_axes_are_put_in_order(seed: int, order: list[int]) -> None:
    x = normal(seed, 2, 3, 4, 5)
    check(lambda a: mb.transpose(x=a, perm=order), x.permute(order), x)
    check(lambda a: mb.transpose(x=a, perm=[axis - 4 for axis in order]), x.permute(order), x)


def test_axes_of_size_one_come_and_go() -> None:
    x = normal(0, 3, 4)
    check(lambda a: mb.expand_dims(x=a, axes=[0, -1]), x[None, :, :, None], x)
    y = normal(0, 1, 3, 1, 4)
    check(lambda a: mb.squeeze(x=a, axes=[-2]), y.squeeze(2), y)
    check(lambda a: mb.squeeze(x=a), y.squeeze(), y)
    check(lambda a: mb.flatten2d(x=a, axis=2), y.reshape(3, 4), y)


def test_values_are_joined_element_by_element() -> None:
    x, y = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 4, 5)
    expected = torch.stack([x, y], 2).flatten(1, 2)
    check(lambda a, b: mb.concat(values=[a, b], axis=1, interleave=True), expected, x, y)
    one, two = torch.tensor([3], dtype=torch.int32), torch.tensor([4], dtype=torch.int32)
    check(lambda a, b: mb.concat(values=[mb.squeeze(x=a), mb.squeeze(x=b)], axis=0), torch.cat([one, two]), one, two)
    check(lambda a, b: mb.stack(values=[a, b], axis=1), torch.stack([x, y], 1), x, y)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@few
@given(seed=seeds, amounts=st.tuples(*[st.integers(0, 3)] * 4), value=st.floats(-2, 2))
def test_padding_is_torchs(mode: str, seed: int, amounts: tuple[int, ...], value: float) -> None:
    x = normal(seed, 1, 2, 5, 6)
    top, bottom, left, right = amounts
    expected = F.pad(x, [left, right, top, bottom], mode, value if mode == "constant" else None)
    check(lambda a: mb.pad(x=a, pad=[top, bottom, left, right], mode=mode, constant_val=value), expected, x)


def test_tensors_are_repeated_and_turned() -> None:
    x = normal(0, 2, 3, 4)
    check(lambda a: mb.tile(x=a, reps=[2, 1, 3]), x.repeat(2, 1, 3), x)
    check(lambda a: mb.reverse(x=a, axes=[0, -1]), x.flip([0, -1]), x)
    expected = x.clone()
    expected[0, :2] = x[0, :2].flip(0)
    check(lambda a: mb.reverse_sequence(x=a, lengths=[2, 1], seq_axis=1, batch_axis=0), expected, x)


def test_tensors_of_one_value_and_ranges() -> None:
    x = normal(0, 2, 3)
    check(lambda a: mb.add(x=a, y=mb.fill(shape=mb.shape(x=a), value=2.5)), x + 2.5, x)
    check(lambda a: mb.fill_like(ref_tensor=a, value=1.5), torch.full((2, 3), 1.5), x)
    stop = torch.tensor([7], dtype=torch.int32)
    check(lambda a: mb.range_1d(start=1, end=mb.squeeze(x=a), step=2), torch.tensor([1, 3, 5], dtype=torch.int32), stop)


def test_a_shape_may_be_that_of_others() -> None:
    x, y = normal(0, 2, 3, 4), normal(1, 6, 4)
    check(
        lambda a, b: mb.reshape_like(x=a, ref_tensors=[b], begins=[0], ends=[0], end_masks=[True]),
        x.reshape(6, 4),
        x,
        y,
    )


def test_no_more_is_mirrored_than_there_is() -> None:
    x, amounts = normal(0, 2, 4), torch.tensor([0, 0, 4, 0], dtype=torch.int32)
    with pytest.raises(BundleError, match="pad .*: 4 elements mirrored 4 times"):
        evaluate(lambda a, b: mb.pad(x=a, pad=b, mode="reflect"), x, amounts)


def test_a_tensor_larger_than_any_is_refused() -> None:
    times = torch.tensor([100000, 100000], dtype=torch.int32)
    with pytest.raises(BundleError, match="tile .* is larger than"):
        evaluate(lambda a, b: mb.tile(x=a, reps=b), normal(0, 2, 3), times)
