from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.backends.coreml.interpret.harness import check, few, mb, normal, seeds

MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@few
@given(
    seed=seeds,
    axes=st.integers(1, 3),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    pad=st.integers(0, 2),
    up=st.booleans(),
    excluded=st.booleans(),
)
def test_pools_are_torchs(seed: int, axes: int, kernel: int, stride: int, pad: int, up: bool, excluded: bool) -> None:
    x, pad, up = normal(seed, 2, 3, *[7] * axes), min(pad, kernel // 2), up and axes < 3
    given_ = {
        "kernel_sizes": [kernel] * axes, "strides": [stride] * axes, "pad_type": "custom", "pad": [pad] * 2 * axes,
        "ceil_mode": up,
    }  # fmt: skip
    expected = MAX_POOLS[axes](x, kernel, stride, pad, ceil_mode=up)
    check(lambda a: mb.max_pool(x=a, **given_), expected, x)
    mean = MEAN_POOLS[axes](x, kernel, stride, pad, up, not excluded)
    check(lambda a: mb.avg_pool(x=a, exclude_padding_from_average=excluded, **given_), mean, x)
    if axes < 3 and not up:
        root = (MEAN_POOLS[axes](x.square(), kernel, stride, pad) * kernel**axes).sqrt()
        check(lambda a: mb.l2_pool(x=a, **given_), root, x)


@few
@given(seed=seeds, high=st.integers(1, 12), wide=st.integers(1, 12))
def test_resizing_to_corners_or_centres_is_torchs(seed: int, high: int, wide: int) -> None:
    x = normal(seed, 2, 3, 5, 4)
    for aligned, mode in ((True, "STRICT_ALIGN_CORNERS"), (False, "UNALIGN_CORNERS")):
        expected = F.interpolate(x, (high, wide), mode="bilinear", align_corners=aligned)
        check(
            lambda a, mode=mode: mb.resize_bilinear(
                x=a, target_size_height=high, target_size_width=wide, sampling_mode=mode
            ),
            expected,
            x,
        )
        check(
            lambda a, mode=mode: mb.resize(
                x=a, shape=[high, wide], resized_dims=torch.tensor(2, dtype=torch.uint32).numpy(),
                interpolation_mode="LINEAR", sampling_mode=mode,
            ),
            expected,
            x,
        )  # fmt: skip
    expected = F.interpolate(x, (high, wide), mode="nearest")
    check(lambda a: mb.resize_nearest_neighbor(x=a, target_size_height=high, target_size_width=wide), expected, x)


@pytest.mark.parametrize(
    ("mode", "size", "points"),
    [
        # the examples of coremltools' documentation, for two elements 0 and 1
        ("UNALIGN_CORNERS", 5, [0.0, 0.1, 0.5, 0.9, 1.0]),
        ("STRICT_ALIGN_CORNERS", 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("ALIGN_CORNERS", 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("DEFAULT", 5, [0.0, 0.4, 0.8, 1.0, 1.0]),
        ("OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
        ("ALIGN_CORNERS", 1, [0.5]),
    ],
)
def test_every_sampling_mode_has_its_grid(mode: str, size: int, points: list[float]) -> None:
    x = torch.tensor([0.0, 1.0]).reshape(1, 1, 2)
    check(
        lambda a: mb.resize_bilinear(x=a, target_size_height=1, target_size_width=size, sampling_mode=mode),
        torch.tensor(points).reshape(1, 1, -1),
        x,
    )


@few
@given(seed=seeds, factor=st.integers(1, 3), aligned=st.booleans())
def test_scaling_up_is_torchs(seed: int, factor: int, aligned: bool) -> None:
    x = normal(seed, 1, 2, 3, 4)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=aligned)
    check(
        lambda a: mb.upsample_bilinear(
            x=a, scale_factor_height=factor, scale_factor_width=factor, align_corners=aligned
        ),
        expected,
        x,
    )
    check(
        lambda a: mb.upsample_nearest_neighbor(x=a, scale_factor_height=factor, scale_factor_width=2 * factor),
        F.interpolate(x, scale_factor=(factor, 2 * factor)),
        x,
    )


def test_a_size_of_zero_keeps_an_axis_as_it_is() -> None:
    x = normal(0, 1, 2, 5, 4)
    expected = F.interpolate(x, (5, 7), mode="bilinear", align_corners=True)
    check(
        lambda a: mb.resize(
            x=a, shape=[3, 0, 7], resized_dims=torch.tensor(2, dtype=torch.uint32).numpy(),
            sampling_mode="STRICT_ALIGN_CORNERS",
        ),
        expected,
        x,
    )  # fmt: skip


def test_channels_move_into_space_and_back() -> None:
    x = normal(0, 2, 8, 3, 4)
    check(lambda a: mb.pixel_shuffle(x=a, upscale_factor=2), F.pixel_shuffle(x, 2), x)
    y = normal(1, 2, 2, 6, 4)
    unshuffled = F.pixel_unshuffle(y, 2)
    check(
        lambda a: mb.pixel_unshuffle(x=a, downscale_factor=torch.tensor(2, dtype=torch.uint32).numpy()),
        unshuffled, y, opset="iOS16",
    )  # fmt: skip
    blocked = unshuffled.reshape(2, 2, 4, 3, 2).transpose(1, 2).reshape(2, 8, 3, 2)
    check(lambda a: mb.space_to_depth(x=a, block_size=2), blocked, y)
    check(lambda a: mb.depth_to_space(x=mb.space_to_depth(x=a, block_size=2), block_size=2), y, y)


def test_space_moves_into_batches_and_back() -> None:
    x = normal(0, 2, 3, 5, 6)
    padded = F.pad(x, [0, 0, 1, 0])
    expected = torch.cat([padded[:, :, row::2, column::3] for row in range(2) for column in range(3)])
    given_ = {"block_shape": [2, 3]}
    check(lambda a: mb.space_to_batch(x=a, paddings=[[1, 0], [0, 0]], **given_), expected, x)
    check(
        lambda a: mb.batch_to_space(
            x=mb.space_to_batch(x=a, paddings=[[1, 0], [0, 0]], **given_), crops=[[1, 0], [0, 0]], **given_
        ),
        x,
        x,
    )
