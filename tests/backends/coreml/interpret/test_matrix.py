from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests.backends.coreml.interpret.harness import STEP, check, few, integers, mb, normal, seeds

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
geometries = st.fixed_dictionaries(
    {
        "axes": st.integers(1, 3),
        "kernel": st.integers(1, 4),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "groups": st.sampled_from([1, 2]),
        "before": st.integers(0, 3),
        "after": st.integers(0, 3),
        "biased": st.booleans(),
    }
)


def signals(seed: int, axes: int, size: int = 9) -> Tensor:
    return normal(seed, 2, 4, *[size] * axes)


@few
@given(seed=seeds, geometry=geometries)
def test_a_convolution_is_torchs(seed: int, geometry: dict[str, int]) -> None:
    axes, groups = geometry["axes"], geometry["groups"]
    x, weight = signals(seed, axes), normal(seed + 1, 6, 4 // groups, *[geometry["kernel"]] * axes)
    bias = normal(seed + 2, 6) if geometry["biased"] else None
    padded = F.pad(x, [geometry["before"], geometry["after"]] * axes)
    strides, dilations = [geometry["stride"]] * axes, [geometry["dilation"]] * axes
    expected = CONVOLUTIONS[axes](padded, weight, bias, strides, 0, dilations, groups)
    given = {} if bias is None else {"bias": bias.numpy()}

    def build(a: object) -> object:
        pads = [geometry["before"], geometry["after"]] * axes
        return mb.conv(
            x=a, weight=weight.numpy(), strides=strides, pad_type="custom", pad=pads, dilations=dilations,
            groups=groups, **given,
        )  # fmt: skip

    check(build, expected, x, tolerance=1e-4)


@few
@given(seed=seeds, geometry=geometries)
def test_a_transposed_convolution_is_torchs_with_its_ends_cut(seed: int, geometry: dict[str, int]) -> None:
    axes, groups = geometry["axes"], geometry["groups"]
    x, weight = signals(seed, axes, 5), normal(seed + 1, 4, 3, *[geometry["kernel"]] * axes)
    bias = normal(seed + 2, 3 * groups) if geometry["biased"] else None
    strides, dilations = [geometry["stride"]] * axes, [geometry["dilation"]] * axes
    expected = TRANSPOSED[axes](x, weight, bias, strides, 0, 0, groups, dilations)
    before, after = geometry["before"] % 3, geometry["after"] % 3
    for axis in range(2, 2 + axes):
        expected = expected.narrow(axis, before, expected.shape[axis] - before - after)
    given = {} if bias is None else {"bias": bias.numpy()}

    def build(a: object) -> object:
        return mb.conv_transpose(
            x=a, weight=weight.numpy(), strides=strides, pad_type="custom", pad=[before, after] * axes,
            dilations=dilations, groups=groups, **given,
        )  # fmt: skip

    check(build, expected, x, tolerance=1e-4)


@pytest.mark.parametrize("kind", ["same", "same_lower"])
@few
@given(seed=seeds, size=st.integers(4, 12), kernel=st.integers(1, 5), stride=st.integers(1, 3))
def test_same_padding_puts_the_odd_element_where_it_says(
    kind: str, seed: int, size: int, kernel: int, stride: int
) -> None:
    x, weight = signals(seed, 1, size), normal(seed + 1, 3, 4, kernel)
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    ends = [total // 2, total - total // 2]
    expected = F.conv1d(F.pad(x, ends if kind == "same" else ends[::-1]), weight, None, stride)
    check(lambda a: mb.conv(x=a, weight=weight.numpy(), strides=[stride], pad_type=kind), expected, x, tolerance=1e-4)


@few
@given(seed=seeds, stride=st.integers(1, 3), extra=st.integers(0, 2))
def test_a_transposed_convolution_keeps_to_its_output_shape(seed: int, stride: int, extra: int) -> None:
    extra = min(extra, stride - 1)
    x, weight = signals(seed, 1, 6), normal(seed + 1, 4, 3, 4)
    expected = F.conv_transpose1d(x, weight, None, stride, 1, extra)
    check(
        lambda a: mb.conv_transpose(
            x=a, weight=weight.numpy(), strides=[stride], pad_type="custom", pad=[1, 1],
            output_shape=list(expected.shape),
        ),
        expected,
        x,
        tolerance=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 2), (3, 1), (2, 3)])
def test_a_transposed_convolution_of_the_same_size_is_cut_in_the_middle(axes: int, kernel: int, stride: int) -> None:
    x, weight = signals(0, axes, 5), normal(1, 4, 3, *[kernel] * axes)
    if kernel < stride:
        expected = TRANSPOSED[axes](x, weight, None, stride, 0, stride - kernel)
    else:
        expected = TRANSPOSED[axes](x, weight, None, stride)
        for axis in range(2, 2 + axes):
            expected = expected.narrow(axis, (kernel - stride) // 2, 5 * stride)
    check(
        lambda a: mb.conv_transpose(x=a, weight=weight.numpy(), strides=[stride] * axes, pad_type="same"),
        expected,
        x,
        tolerance=1e-4,
    )


def test_an_output_shape_is_for_every_axis() -> None:
    x, weight, bias = signals(0, 2, 5), normal(1, 4, 3, 4, 4), normal(2, 3)
    whole = F.conv_transpose2d(x, weight, None, (2, 3))  # 12 by 16
    expected = F.pad(whole[:, :, 1:], (0, 4)) + bias[:, None, None]
    check(
        lambda a: mb.conv_transpose(
            x=a, weight=weight.numpy(), bias=bias.numpy(), strides=[2, 3], pad_type="custom", pad=[1, 0, 0, 0],
            output_shape=list(expected.shape),
        ),
        expected,
        x,
        tolerance=1e-4,
    )  # fmt: skip


def test_products_in_float16_are_summed_in_float32() -> None:
    x, weight = normal(0, 1, 64, 20).half(), normal(1, 8, 64, 3).half()
    expected = F.conv1d(x.float(), weight.float()).half()
    check(lambda a: mb.conv(x=a, weight=weight.numpy()), expected, x, tolerance=STEP)
    large = torch.full((1, 2, 4), 300.0).half()
    ones = torch.full((1, 2, 1), 300.0).half()
    check(lambda a: mb.conv(x=a, weight=ones.numpy()), torch.full((1, 1, 4), float("inf")).half(), large)


@few
@given(
    seed=seeds,
    turn_x=st.booleans(),
    turn_y=st.booleans(),
    lead=st.sampled_from([((), ()), ((2,), (2,)), ((2, 3), (1, 3)), ((3,), (2, 1))]),
)
def test_a_product_of_matrices_is_torchs(
    seed: int, turn_x: bool, turn_y: bool, lead: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    x = normal(seed, *lead[0], *((5, 4) if turn_x else (4, 5)))
    y = normal(seed + 1, *lead[1], *((6, 5) if turn_y else (5, 6)))
    expected = torch.matmul(x.mT if turn_x else x, y.mT if turn_y else y)
    check(lambda a, b: mb.matmul(x=a, y=b, transpose_x=turn_x, transpose_y=turn_y), expected, x, y)


def test_a_product_of_integers_is_exact() -> None:
    x, y = integers(0, -40000, 40000, 3, 4), integers(1, -9, 9, 4, 2)
    check(lambda a, b: mb.matmul(x=a, y=b), x @ y, x, y, tolerance=0)


@few
@given(seed=seeds, biased=st.booleans(), rank=st.integers(2, 4))
def test_a_linear_layer_is_torchs(seed: int, biased: bool, rank: int) -> None:
    x, weight = normal(seed, *[3] * (rank - 1), 5), normal(seed + 1, 4, 5)
    bias = normal(seed + 2, 4)
    given = {"bias": bias.numpy()} if biased else {}
    expected = F.linear(x, weight, bias if biased else None)
    check(lambda a: mb.linear(x=a, weight=weight.numpy(), **given), expected, x)


@pytest.mark.parametrize("equation", ["nchw,nwhu->nchu", "chw,whu->chu", "bkhc,bchq->bkhq"])
def test_sums_of_products_follow_their_equation(equation: str) -> None:
    sizes = dict(zip("bcknhqwu", (2, 3, 4, 2, 5, 6, 7, 3), strict=True))
    first, second = equation.partition("->")[0].split(",")
    x, y = normal(0, *(sizes[axis] for axis in first)), normal(1, *(sizes[axis] for axis in second))
    check(lambda a, b: mb.einsum(values=(a, b), equation=equation), torch.einsum(equation, x, y), x, y)


@few
@given(seed=seeds, masked=st.sampled_from(["", "bool", "float"]))
def test_attention_is_torchs(seed: int, masked: str) -> None:
    query, key, value = normal(seed, 2, 3, 4, 5), normal(seed + 1, 2, 3, 6, 5), normal(seed + 2, 2, 3, 6, 5)
    mask = normal(seed + 3, 4, 6)
    if not masked:
        expected = F.scaled_dot_product_attention(query, key, value)
        check(
            lambda a, b, c: mb.scaled_dot_product_attention(query=a, key=b, value=c),
            expected, query, key, value, opset="iOS18",
        )  # fmt: skip
        return
    picks = (mask > -1) | (torch.arange(6) == 0)
    given = picks if masked == "bool" else mask
    expected = F.scaled_dot_product_attention(query, key, value, given)

    def build(a: object, b: object, c: object, d: object) -> object:
        shown = mb.cast(x=d, dtype="bool") if masked == "bool" else d
        return mb.scaled_dot_product_attention(query=a, key=b, value=c, attn_mask=shown)

    told = picks.to(torch.int32) if masked == "bool" else mask
    check(build, expected, query, key, value, told, opset="iOS18")
