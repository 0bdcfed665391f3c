"""Pools, resizing, and what moves values between channels, batch and the spatial axes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from voxc.backends.coreml.interpret.call import Call, Lowerings
from voxc.backends.coreml.interpret.matrix import paddings

MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEAN_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def windows(call: Call) -> tuple[Tensor, list[int], list[int], list[int], list[int]]:
    """x, the sizes of the windows, their strides, the padding by pairs, and what rounding up adds behind it."""
    x, kernel = call.tensor("x"), call.ints("kernel_sizes")
    axes = x.dim() - 2
    if axes not in MAX_POOLS or len(kernel) != axes:
        raise call.wrong(f"windows {kernel} in a tensor of rank {x.dim()}")
    strides = call.ints("strides", [1] * axes)
    pads = paddings(call, x, kernel, strides, [1] * axes)
    extra = [0] * axes
    if call.flag("ceil_mode"):
        for axis in range(axes):
            size = x.shape[2 + axis] + pads[2 * axis] + pads[2 * axis + 1]
            count = -(-(size - kernel[axis]) // strides[axis]) + 1
            if (count - 1) * strides[axis] >= x.shape[2 + axis] + pads[2 * axis]:
                count -= 1  # a window that would begin behind the input
            extra[axis] = max(0, (count - 1) * strides[axis] + kernel[axis] - size)
    return x, kernel, strides, pads, extra


def padded(x: Tensor, pads: list[int], value: float = 0.0) -> Tensor:
    """x with `pads` before and after each spatial axis, the first axis first."""
    pairs = [pads[place : place + 2] for place in range(0, len(pads), 2)]
    return F.pad(x, [amount for pair in pairs[::-1] for amount in pair], value=value)


def behind(extra: list[int]) -> list[int]:
    return [amount for size in extra for amount in (0, size)]


def max_pool(call: Call) -> Tensor:
    x, kernel, strides, pads, extra = windows(call)
    full = padded(padded(x, pads, -math.inf), behind(extra), -math.inf)
    return MAX_POOLS[len(kernel)](full, kernel, strides)


def avg_pool(call: Call) -> Tensor:
    """Means of windows. Padding counts unless it is excluded; what rounding up adds never does."""
    x, kernel, strides, pads, extra = windows(call)
    counted = 0.0 if call.flag("exclude_padding_from_average") else 1.0
    here = padded(padded(torch.ones(1, 1, *x.shape[2:]), pads, counted), behind(extra))
    pool = MEAN_POOLS[len(kernel)]
    return pool(padded(padded(x, pads), behind(extra)), kernel, strides) / pool(here, kernel, strides)


def l2_pool(call: Call) -> Tensor:
    """Roots of the sums of squares of windows."""
    x, kernel, strides, pads, extra = windows(call)
    full = padded(padded(x.square(), pads), behind(extra))
    return (MEAN_POOLS[len(kernel)](full, kernel, strides) * math.prod(kernel)).sqrt()


def grid(call: Call, many: int, size: int, mode: str) -> Tensor:
    """Where along an axis of `many` elements each of `size` is taken from, as real numbers."""
    places = torch.arange(size, dtype=torch.float64)
    if mode == "STRICT_ALIGN_CORNERS" or (mode == "ALIGN_CORNERS" and size > 1):
        points = places * ((many - 1) / max(1, size - 1))
    elif mode == "ALIGN_CORNERS":
        points = torch.full((1,), (many - 1) / 2, dtype=torch.float64)
    elif mode == "DEFAULT":
        points = places * (many / size)
    elif mode == "OFFSET_CORNERS":
        points = (places + 0.5) * (max(1, many - 1) / size)
    elif mode == "UNALIGN_CORNERS":
        points = (places + 0.5) * (many / size) - 0.5
    else:
        raise call.unsupported(f"the sampling mode {mode}")
    return points.clamp(0, many - 1)


def interpolated(x: Tensor, axis: int, points: Tensor) -> Tensor:
    """x along an axis at real places, between two elements in proportion."""
    low = points.floor().long()
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    share = (points - low).float().reshape(-1, *[1] * (x.dim() - 1 - axis % x.dim()))
    below, above = x.index_select(axis, low), x.index_select(axis, high)
    return below + (above - below) * share


def resized(call: Call, x: Tensor, sizes: list[int], mode: str) -> Tensor:
    """The last axes of x in new sizes."""
    call.bounded([*x.shape[: x.dim() - len(sizes)], *sizes])
    for place, size in enumerate(sizes):
        axis = x.dim() - len(sizes) + place
        if size != x.shape[axis] or mode == "OFFSET_CORNERS":
            x = interpolated(x, axis, grid(call, x.shape[axis], size, mode))
    return x


def nearest(call: Call, x: Tensor, sizes: list[int]) -> Tensor:
    """The last axes of x in new sizes, each element taken from the place below it."""
    call.bounded([*x.shape[: x.dim() - len(sizes)], *sizes])
    for place, size in enumerate(sizes):
        axis = x.dim() - len(sizes) + place
        x = x.index_select(axis, torch.arange(size) * x.shape[axis] // max(1, size))
    return x


def scaled(call: Call, x: Tensor) -> list[int]:
    """Height and width times their factors, rounded down."""
    factors = (call.number("scale_factor_height", 1), call.number("scale_factor_width", 1))
    return [math.floor(size * factor) for size, factor in zip(x.shape[-2:], factors, strict=True)]


def upsample_nearest_neighbor(call: Call) -> Tensor:
    x = call.tensor("x")
    return nearest(call, x, scaled(call, x))


def upsample_bilinear(call: Call) -> Tensor:
    x, aligned = call.tensor("x"), call.flag("align_corners", True)
    centred = call.flag("half_pixel_centers", not aligned)
    if aligned and centred:
        raise call.unsupported("aligned corners with half-pixel centres")
    mode = "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS" if centred else "DEFAULT"
    return resized(call, x, scaled(call, x), mode)


def resize_nearest_neighbor(call: Call) -> Tensor:
    return nearest(call, call.tensor("x"), [call.integer("target_size_height"), call.integer("target_size_width")])


def resize_bilinear(call: Call) -> Tensor:
    sizes = [call.integer("target_size_height", 1), call.integer("target_size_width", 1)]
    return resized(call, call.tensor("x"), sizes, call.text("sampling_mode", "DEFAULT"))


def resize(call: Call) -> Tensor:
    """The last `resized_dims` axes in the last sizes of `shape`, of which 0 keeps an axis as it is."""
    x, count, shape = call.tensor("x"), call.integer("resized_dims"), call.ints("shape")
    if not 0 <= count <= min(len(shape), x.dim()):
        raise call.wrong(f"{count} axes of rank {x.dim()} with sizes {shape}")
    first = x.dim() - count
    sizes = [size or x.shape[first + place] for place, size in enumerate(shape[len(shape) - count :])]
    mode = call.text("sampling_mode", "DEFAULT")
    if call.text("interpolation_mode", "LINEAR") == "LINEAR":
        return resized(call, x, sizes, mode)
    if mode != "DEFAULT":
        raise call.unsupported(f"the nearest neighbour in sampling mode {mode}")
    return nearest(call, x, sizes)


def depth_to_space(call: Call) -> Tensor:
    """Channels become blocks; a channel's number is (row of the block, column of the block, channel)."""
    x, size = call.tensor("x"), call.integer("block_size")
    n, c, h, w = x.shape
    blocks = x.reshape(n, size, size, c // size**2, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // size**2, h * size, w * size)


def space_to_depth(call: Call) -> Tensor:
    x, size = call.tensor("x"), call.integer("block_size")
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // size, size, w // size, size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * size**2, h // size, w // size)


def pixel_shuffle(call: Call) -> Tensor:
    return F.pixel_shuffle(call.tensor("x"), call.integer("upscale_factor"))


def pixel_unshuffle(call: Call) -> Tensor:
    return F.pixel_unshuffle(call.tensor("x"), call.integer("downscale_factor"))


def space_to_batch(call: Call) -> Tensor:
    """Each place in a block becomes a batch of its own; a batch's number is (row, column, batch)."""
    x, (high, wide) = call.tensor("x"), call.ints("block_shape")
    x = padded(x, call.ints("paddings"))
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // high, high, w // wide, wide)
    return blocks.permute(3, 5, 0, 1, 2, 4).reshape(n * high * wide, c, h // high, w // wide)


def batch_to_space(call: Call) -> Tensor:
    x, (high, wide) = call.tensor("x"), call.ints("block_shape")
    top, bottom, left, right = call.ints("crops")
    n, c, h, w = x.shape
    blocks = x.reshape(high, wide, n // (high * wide), c, h, w)
    full = blocks.permute(2, 3, 4, 0, 5, 1).reshape(n // (high * wide), c, h * high, w * wide)
    return full[:, :, top : h * high - bottom, left : w * wide - right]


MOVES: Lowerings = {
    "batch_to_space": batch_to_space,
    "depth_to_space": depth_to_space,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "resize_nearest_neighbor": resize_nearest_neighbor,
    "space_to_batch": space_to_batch,
    "space_to_depth": space_to_depth,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
}
TABLE: Lowerings = {
    **MOVES,
    "avg_pool": avg_pool,
    "l2_pool": l2_pool,
    "max_pool": max_pool,
    "resize": resize,
    "resize_bilinear": resize_bilinear,
    "upsample_bilinear": upsample_bilinear,
}

EXACT = frozenset(MOVES) | {"max_pool"}
