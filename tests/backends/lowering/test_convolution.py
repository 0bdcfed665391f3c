from __future__ import annotations

import numpy as np
import pytest
import torch

from voxc.backends.lowering.convolution import Geometry, kernel_channels_last
from voxc.backends.lowering.weight import Weight
from voxc.compiler.core.ops import conv_channels_last


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("space", [(7,), (5, 6)])
def test_a_kernel_with_channels_last_gives_the_same(transposed: bool, groups: int, space: tuple[int, ...]) -> None:
    axes = len(space)
    torch.manual_seed(0)
    x = torch.randn(1, 4, *space)
    kernel = torch.randn(4, 6 // groups, *[3] * axes) if transposed else torch.randn(6, 4 // groups, *[3] * axes)
    arguments = ([2] * axes, [1] * axes, [1] * axes, transposed, [0] * axes, groups)
    expected = torch.ops.aten.convolution.default(x, kernel, None, *arguments)
    last = kernel_channels_last(Weight("w", kernel.numpy()), Geometry.of(axes, *arguments))
    y = conv_channels_last(x.movedim(1, -1), torch.from_numpy(last.array.copy()), None, *arguments)
    torch.testing.assert_close(y.movedim(-1, 1), expected)


def test_scales_of_outputs_stay_with_them() -> None:
    weight = Weight("w", np.zeros((4, 6, 3), np.int8), np.ones(6, np.float32), axis=1)
    geometry = Geometry.of(1, [2], [0], [1], transposed=True, output_padding=[0], groups=1)
    moved = kernel_channels_last(weight, geometry)
    assert (moved.shape, moved.axis) == ((6, 3, 4), 0)


def test_one_number_stands_for_all_axes() -> None:
    geometry = Geometry.of(2, [2], [1, 3], [1], transposed=False, output_padding=[0], groups=1)
    assert (geometry.stride, geometry.padding, geometry.dilation) == ((2, 2), (1, 3), (1, 1))


def test_a_row_is_a_plane_of_height_one() -> None:
    geometry = Geometry.of(1, [2], [3], [4], transposed=True, output_padding=[1], groups=1).planar()
    assert geometry == Geometry((1, 2), (0, 3), (1, 4), True, (0, 1), 1)
