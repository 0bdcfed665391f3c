"""Operations that move values and change none: shapes, joins, padding, and tensors made of one value."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from voxc.backends.coreml.interpret.call import Call, Lowerings

MIRRORED = ("reflect", "replicate")


def reshape(call: Call) -> Tensor:
    """x in another shape. 0 copies the size at the same place counted from the back, -1 is what remains."""
    x, shape = call.tensor("x"), call.ints("shape")
    shift = x.dim() - len(shape)
    sizes = [
        (x.shape[place + shift] if place + shift >= 0 else 1) if size == 0 and x.numel() else size
        for place, size in enumerate(shape)
    ]
    if -1 in sizes:
        known = -math.prod(sizes)
        if sizes.count(-1) > 1 or known <= 0 or x.numel() % known:
            raise call.wrong(f"{list(x.shape)} as {shape}")
        sizes[sizes.index(-1)] = x.numel() // known
    if math.prod(sizes) != x.numel():
        raise call.wrong(f"{list(x.shape)} as {shape}")
    return x.reshape(sizes)


def transpose(call: Call) -> Tensor:
    x = call.tensor("x")
    order = call.axes("perm", x.dim())
    if sorted(order) != list(range(x.dim())):
        raise call.wrong(f"axes in the order {order}")
    return x.permute(order)


def expand_dims(call: Call) -> Tensor:
    x, axes = call.tensor("x"), call.ints("axes")
    for axis in sorted(call.axis_of(axis, x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(call: Call) -> Tensor:
    """x without the given axes of size 1, or without any."""
    x = call.tensor("x")
    if not call.has("axes"):
        return x.squeeze()
    axes = call.axes("axes", x.dim())
    if any(x.shape[axis] != 1 for axis in axes):
        raise call.wrong(f"axes {axes} of shape {list(x.shape)} are not all of size 1")
    return x.squeeze(axes)


def flatten2d(call: Call) -> Tensor:
    x = call.tensor("x")
    axis = call.integer("axis", 1)
    rows = math.prod(x.shape[: axis % (x.dim() + 1) if axis >= 0 else axis])
    return x.reshape(rows, -1)


def concat(call: Call) -> Tensor:
    """Tensors one after the other along an axis, or, interleaved, an element of each in turn; numbers as they come."""
    values = [value.reshape(1) if value.dim() == 0 else value for value in call.tensors("values")]
    if not values:
        raise call.wrong("nothing to join")
    axis = call.axis("axis", values[0].dim())
    if not call.flag("interleave"):
        return torch.cat(values, axis)
    joined = torch.stack(values, axis + 1)
    return joined.flatten(axis, axis + 1)


def stack(call: Call) -> Tensor:
    values = call.tensors("values")
    return torch.stack(values, call.axis("axis", values[0].dim() + 1))


def tile(call: Call) -> Tensor:
    x, times = call.tensor("x"), call.ints("reps")
    if len(times) != x.dim():
        raise call.wrong(f"{times} repetitions of a tensor of rank {x.dim()}")
    call.bounded([size * count for size, count in zip(x.shape, times, strict=True)])
    return x.repeat(times)


def reverse(call: Call) -> Tensor:
    x = call.tensor("x")
    return x.flip(call.axes("axes", x.dim()))


def reverse_sequence(call: Call) -> Tensor:
    """The first `lengths[i]` along `seq_axis` turned round, for each i of `batch_axis`."""
    x, lengths = call.tensor("x"), call.ints("lengths")
    axis, batch = call.axis("seq_axis", x.dim(), 0), call.axis("batch_axis", x.dim(), 0)
    parts = []
    for place, length in enumerate(lengths):
        row = x.narrow(batch, place, 1)
        turned = row.narrow(axis, 0, length).flip(axis)
        parts.append(torch.cat([turned, row.narrow(axis, length, x.shape[axis] - length)], axis))
    return torch.cat(parts, batch)


def pad(call: Call) -> Tensor:
    """`pad` has the amounts before and after each of the last axes, the first of these axes first."""
    x, amounts = call.tensor("x"), call.ints("pad")
    mode = call.text("mode", "constant")
    if len(amounts) % 2 or len(amounts) > 2 * x.dim() or min(amounts, default=0) < 0:
        raise call.wrong(f"padding {amounts} of a tensor of rank {x.dim()}")
    first = x.dim() - len(amounts) // 2
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    call.bounded([size + sum(pairs[axis - first]) if axis >= first else size for axis, size in enumerate(x.shape)])
    if mode == "constant":
        value = call.number("constant_val", 0.0)
        return F.pad(x, [amount for pair in pairs[::-1] for amount in pair], value=value)
    if mode not in MIRRORED:
        raise call.unsupported(f"the mode {mode}")
    for axis, (before, after) in enumerate(pairs, first):
        x = x.index_select(axis, mirrored(call, x.shape[axis], before, after, mode)) if before or after else x
    return x


def mirrored(call: Call, size: int, before: int, after: int, mode: str) -> Tensor:
    """The places of an axis in the order of the padded one."""
    places = torch.arange(-before, size + after)
    if mode == "replicate":
        return places.clamp(0, size - 1)
    if max(before, after) >= size:
        raise call.wrong(f"{size} elements mirrored {max(before, after)} times")
    return size - 1 - (size - 1 - places.abs()).abs()


def shape(call: Call) -> Tensor:
    return torch.tensor(call.tensor("x").shape, dtype=call.held())


def fill(call: Call) -> Tensor:
    sizes = call.bounded(call.ints("shape"))
    return torch.full(sizes, call.number("value", 0.0), dtype=call.held())


def fill_like(call: Call) -> Tensor:
    return torch.full(call.tensor("ref_tensor").shape, call.number("value", 0.0), dtype=call.held())


def range_1d(call: Call) -> Tensor:
    """From `start` by `step` up to `end`, itself left out."""
    start, end, step = call.number("start"), call.number("end"), call.number("step")
    if step == 0 or not math.isfinite(start + end + step):
        raise call.wrong(f"from {start} to {end} by {step}")
    (count,) = call.bounded([max(0, math.ceil((end - start) / step))])
    return (torch.arange(count, dtype=torch.float64) * step + start).to(call.held())


def reshape_like(call: Call) -> Tensor:
    """x with its sizes from slices of the shapes of other tensors, joined."""
    references = call.tensors("ref_tensors")
    sizes: list[int] = []
    for place, reference in enumerate(references):
        first = int(call.tensors("begins")[place])
        last = int(call.tensors("ends")[place])
        free = bool(call.tensors("end_masks")[place])
        sizes += list(reference.shape[first : None if free else last])
    x = call.tensor("x")
    if math.prod(sizes) != x.numel():
        raise call.wrong(f"{list(x.shape)} as {sizes}")
    return x.reshape(sizes)


TABLE: Lowerings = {
    "concat": concat,
    "expand_dims": expand_dims,
    "fill": fill,
    "fill_like": fill_like,
    "flatten2d": flatten2d,
    "pad": pad,
    "range_1d": range_1d,
    "reshape": reshape,
    "reshape_like": reshape_like,
    "reverse": reverse,
    "reverse_sequence": reverse_sequence,
    "shape": shape,
    "squeeze": squeeze,
    "stack": stack,
    "tile": tile,
    "transpose": transpose,
}

EXACT = frozenset(TABLE) - {"fill", "fill_like", "range_1d"}
