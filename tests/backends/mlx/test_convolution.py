from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.backends.mlx.harness import check
from tests.passes.harness import FRAMES

WIDE = (1, 1, "T", 8)
few = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


class Convolution(nn.Module):
    """A channels-last convolution along time."""

    def __init__(
        self, outputs: int, taps: int, *, inputs: int = 8, groups: int = 1, stride: int = 1, padding: int = 0,
        dilation: int = 1, up: bool = False, extra: int = 0, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("weight", torch.randn(outputs, 1, taps, inputs // groups) * 0.1)
        self.register_buffer("bias", torch.randn(outputs) if bias else None)
        self.arguments = ([1, stride], [0, padding], [1, dilation], up, [0, extra], groups)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.voxc.conv_channels_last(x, self.weight, self.bias, *self.arguments)


GEOMETRIES: dict[str, dict[str, Any]] = {
    "valid": {"outputs": 4, "taps": 3},
    "pointwise": {"outputs": 4, "taps": 1},
    "pointwise, strided": {"outputs": 4, "taps": 1, "stride": 2},
    "same": {"outputs": 4, "taps": 7, "padding": 3},
    "dilated": {"outputs": 4, "taps": 7, "padding": 9, "dilation": 3},
    "dilated, length no multiple": {"outputs": 4, "taps": 3, "padding": 5, "dilation": 5},
    "dilated, shorter": {"outputs": 4, "taps": 3, "padding": 1, "dilation": 3},
    "no bias": {"outputs": 4, "taps": 3, "padding": 1, "bias": False},
    "strided": {"outputs": 4, "taps": 5, "padding": 2, "stride": 2},
    "depthwise": {"outputs": 8, "taps": 3, "padding": 1, "groups": 8},
    "grouped": {"outputs": 4, "taps": 3, "padding": 1, "groups": 2},
    "up": {"outputs": 4, "taps": 4, "padding": 1, "stride": 2, "up": True},
    "up, padded beyond its reach": {"outputs": 4, "taps": 1, "padding": 2, "stride": 2, "up": True},
    "up, lengthened": {"outputs": 4, "taps": 3, "padding": 1, "extra": 1, "stride": 2, "up": True},
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_channels_last(tmp_path: Path, geometry: str) -> None:
    found = check(tmp_path, Convolution(**GEOMETRIES[geometry]), WIDE)
    assert "Transpose" not in found
    assert ("AddMM" in found) == (geometry == "pointwise")


def test_dilation_becomes_a_view(tmp_path: Path) -> None:
    """Where it keeps the length; zeros behind are for lengths that it does not divide."""
    assert "Pad" not in check(tmp_path, Convolution(**GEOMETRIES["dilated"]), WIDE)
    assert "Pad" in check(tmp_path, Convolution(**GEOMETRIES["dilated, length no multiple"]), WIDE)


@few
@given(
    st.sampled_from([1, 2]), st.sampled_from([1, 2, 4]), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2),
    st.integers(1, 2), st.booleans(), st.booleans(),
)  # fmt: skip
def test_channels_first(
    tmp_path: Path, rank: int, groups: int, taps: int, stride: int, padding: int, dilation: int, up: bool, bias: bool
) -> None:
    assume(dilation * (taps - 1) + 1 <= 4 + 2 * padding)
    torch.manual_seed(taps)
    kinds: dict[tuple[int, bool], Any] = {
        (1, False): nn.Conv1d, (2, False): nn.Conv2d, (1, True): nn.ConvTranspose1d, (2, True): nn.ConvTranspose2d
    }  # fmt: skip
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    if up:
        assume((FRAMES - 1) * stride + dilation * (taps - 1) + 1 > 2 * padding)
        assume(rank == 1 or 3 * stride + dilation * (taps - 1) + 1 > 2 * padding)
    module = kinds[rank, up](4, 8, taps, **options)
    check(tmp_path, lambda x: module(x), (2, 4, *(4,) * (rank - 1), "T"))
