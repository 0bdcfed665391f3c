"""Parts of a tensor: slices, splits, windows, bands."""

from __future__ import annotations

import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import Call, Lowerings


def slice_by_index(call: Call) -> Tensor:
    x, places = slices(call)
    return squeezed(call, strided(x, places))


def slices(call: Call) -> tuple[Tensor, list[slice]]:
    """x, and what is taken of each axis; a squeezed axis gives the one element at its begin."""
    x = call.tensor("x")
    rank = x.dim()
    begin, end, stride = call.ints("begin"), call.ints("end"), call.ints("stride", [1] * rank)
    if not len(begin) == len(end) == len(stride) == rank:
        raise call.wrong(f"from {begin} to {end} by {stride} in a tensor of rank {rank}")
    masks = [call.flags(name, rank) for name in ("begin_mask", "end_mask", "squeeze_mask")]
    taken = []
    for first, last, step, size, free_begin, free_end, single in zip(begin, end, stride, x.shape, *masks, strict=True):
        if step == 0:
            raise call.wrong("a stride of 0")
        if single:
            place = first + size if first < 0 else first
            if not 0 <= place < size:
                raise call.wrong(f"element {first} of {size}")
            taken.append(slice(place, place + 1, 1))
        else:
            taken.append(slice(None if free_begin else first, None if free_end else last, step))
    return x, taken


def strided(x: Tensor, places: list[slice]) -> Tensor:
    """x[places], negative strides too, which torch has not."""
    for axis, place in enumerate(places):
        first, last, step = place.indices(x.shape[axis])
        count = len(range(first, last, step))
        if step > 0:
            x = x.narrow(axis, first if count else 0, min(last, x.shape[axis]) - first if count else 0)
            x = x[(slice(None),) * axis + (slice(None, None, step),)] if step > 1 else x
        else:
            x = x.index_select(axis, torch.arange(count) * step + first)
    return x


def squeezed(call: Call, x: Tensor) -> Tensor:
    axes = [axis for axis, single in enumerate(call.flags("squeeze_mask", x.dim())) if single]
    return x.squeeze(axes) if axes else x


def slice_by_size(call: Call) -> Tensor:
    """Of each axis `size` elements from `begin` on; -1 is all that remain."""
    x, begin, sizes = call.tensor("x"), call.ints("begin"), call.ints("size")
    if not len(begin) == len(sizes) == x.dim():
        raise call.wrong(f"{sizes} from {begin} in a tensor of rank {x.dim()}")
    for axis, (first, size) in enumerate(zip(begin, sizes, strict=True)):
        start = first + x.shape[axis] if first < 0 else first
        count = x.shape[axis] - start if size == -1 else size
        if start < 0 or count < 0 or start + count > x.shape[axis]:
            raise call.wrong(f"{size} from {first} on of {x.shape[axis]}")
        x = x.narrow(axis, start, count)
    return x


def slice_update(call: Call) -> Tensor:
    """x with a slice of it replaced."""
    x, places = slices(call)
    update = call.tensor("update")
    picked = strided(torch.arange(x.numel()).reshape(x.shape), places)
    if picked.numel() != update.numel():
        raise call.wrong(f"an update of shape {list(update.shape)} for a slice of shape {list(picked.shape)}")
    flat = x.reshape(-1).clone()
    flat[picked.reshape(-1)] = update.reshape(-1)
    return flat.reshape(x.shape)


def split(call: Call) -> list[Tensor]:
    x = call.tensor("x")
    axis = call.axis("axis", x.dim())
    if call.has("split_sizes"):
        sizes = call.ints("split_sizes")
    else:
        count = call.integer("num_splits")
        if count < 1 or x.shape[axis] % count:
            raise call.wrong(f"{x.shape[axis]} in {count} equal parts")
        sizes = [x.shape[axis] // count] * count
    if sum(sizes) != x.shape[axis] or min(sizes, default=0) < 0:
        raise call.wrong(f"{x.shape[axis]} in parts of {sizes}")
    return list(torch.split(x, sizes, axis))


def sliding_windows(call: Call) -> Tensor:
    """Windows along an axis, which becomes the windows' number and their size."""
    x = call.tensor("x")
    axis, size, stride = call.axis("axis", x.dim()), call.integer("size"), call.integer("stride", 1)
    if not 0 < size <= x.shape[axis] or stride < 1:
        raise call.wrong(f"windows of {size} by {stride} along {x.shape[axis]}")
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)


def band_part(call: Call) -> Tensor:
    """x with zeros where it is more than `lower` below or `upper` above the diagonal; -1 is all of that side."""
    x, lower, upper = call.tensor("x"), call.integer("lower", -1), call.integer("upper", -1)
    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])
    kept = torch.ones(x.shape[-2:], dtype=torch.bool)
    if lower >= 0:
        kept &= rows - columns <= lower
    if upper >= 0:
        kept &= columns - rows <= upper
    return torch.where(kept, x, torch.zeros_like(x))


TABLE: Lowerings = {
    "band_part": band_part,
    "slice_by_index": slice_by_index,
    "slice_by_size": slice_by_size,
    "slice_update": slice_update,
    "sliding_windows": sliding_windows,
    "split": split,
}

EXACT = frozenset(TABLE)
