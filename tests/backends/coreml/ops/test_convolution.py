from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.backends.coreml.harness import HALF, check

GEOMETRIES = {
    "plain": nn.Conv1d(4, 6, 3),
    "padded": nn.Conv1d(4, 6, 5, padding=2, bias=False),
    "dilated": nn.Conv1d(4, 6, 3, padding=4, dilation=4),
    "strided": nn.Conv1d(4, 6, 4, stride=3, padding=1),
    "grouped": nn.Conv1d(4, 6, 3, padding=1, groups=2),
    "depthwise": nn.Conv1d(4, 8, 3, padding=1, groups=4),
    "of one tap": nn.Conv1d(4, 6, 1),
    "up": nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1),
    "up, uncut": nn.ConvTranspose1d(4, 6, 5, stride=3, bias=False),
    "up, grouped and dilated": nn.ConvTranspose1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2),
    "up, lengthened": nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1),
    "up, longer than whole": nn.ConvTranspose1d(4, 6, 3, stride=3, output_padding=2),
}
PLANES = {
    "plain": nn.Conv2d(2, 3, (3, 5), stride=(2, 1), padding=(1, 2)),
    "up": nn.ConvTranspose2d(2, 3, (3, 4), stride=(1, 2), padding=(0, 1), output_padding=(0, 1)),
    "up, longer along one axis": nn.ConvTranspose2d(2, 3, 3, stride=2, padding=(1, 0), output_padding=(1, 1)),
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_along_one_axis(tmp_path: Path, geometry: str) -> None:
    found = check(tmp_path, GEOMETRIES[geometry], (1, 4, "T"))
    assert found["conv_transpose" if geometry.startswith("up") else "conv"] == {"fp32": 1}


@pytest.mark.parametrize("geometry", PLANES)
def test_along_two_axes(tmp_path: Path, geometry: str) -> None:
    check(tmp_path, PLANES[geometry], (1, 2, 7, "T"))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 4), st.integers(1, 3), st.integers(0, 2), st.booleans())
def test_any_geometry(
    tmp_path_factory: pytest.TempPathFactory, taps: int, stride: int, padding: int, dilation: int, extra: int, up: bool
) -> None:
    if up:
        assume(extra < max(stride, dilation) and 11 * stride + dilation * (taps - 1) + extra + 1 > 2 * padding)
        layer: nn.Module = nn.ConvTranspose1d(
            2, 3, taps, stride=stride, padding=padding, dilation=dilation, output_padding=extra
        )
    else:
        layer = nn.Conv1d(2, 3, taps, stride=stride, padding=padding, dilation=dilation)
    check(tmp_path_factory.mktemp("geometry"), layer, (1, 2, "T"))


def test_in_float16_between_casts(tmp_path: Path) -> None:
    found = check(tmp_path, GEOMETRIES["padded"], (1, 4, "T"), plan=HALF, tolerance=1e-2)
    assert found == {"cast": {"fp16": 1, "fp32": 1}, "conv": {"fp16": 1}}


def test_weights_that_are_computed(tmp_path: Path) -> None:
    class Computed(nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return torch.conv1d(x, weight * 2)

    check(tmp_path, Computed(), (1, 4, "T"), (6, 4, 3))
