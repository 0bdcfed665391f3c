"""Operators that move and repeat elements."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row


def reshape(call: Call) -> Function:
    """0 keeps a size of the input unless `allowzero`, -1 takes what is left."""
    asked, shape = call.integers(1, "sizes"), call.shape()
    if not call.attribute("allowzero", 0):
        if any(size == 0 and axis >= len(shape) for axis, size in enumerate(asked)):
            raise call.refuse(f"shape {asked} keeps a size that {list(shape)} does not have")
        asked = [shape[axis] if size == 0 else size for axis, size in enumerate(asked)]
    return lambda x, *_: x.reshape(asked)


def flatten(call: Call) -> Function:
    shape = call.shape()
    axis = call.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    rows = 1
    for size in shape[:axis]:
        rows *= size
    return lambda x: x.reshape(rows, -1)


def transpose(call: Call) -> Function:
    order = call.attribute("perm", list(range(call.rank()))[::-1])
    return lambda x: x.permute(order)


def squeeze(call: Call) -> Function:
    axes, shape = call.axes(1, 13), call.shape()
    places = (
        [axis for axis, size in enumerate(shape) if size == 1] if axes is None else [call.axis(axis) for axis in axes]
    )
    if any(shape[axis] != 1 for axis in places):
        raise call.refuse(f"axes {places} of shape {list(shape)} are not all of size 1")
    return lambda x, *_: x.squeeze(places) if places else x


def unsqueeze(call: Call) -> Function:
    axes = call.axes(1, 13)
    if axes is None:
        raise call.refuse("has no axes")
    rank = call.rank() + len(axes)
    places = sorted(call.axis(axis, rank) for axis in axes)

    def run(x: Tensor, *_: object) -> Tensor:
        for axis in places:
            x = x.unsqueeze(axis)
        return x

    return run


def concat(call: Call) -> Function:
    axis = call.axis(call.required("axis"))
    return lambda *tensors: torch.cat(tensors, axis)


def split(call: Call) -> Function:
    """In parts of given sizes, or in as many equal ones as there are outputs; the last may be smaller."""
    axis = call.axis(call.attribute("axis", 0))
    size = call.shape()[axis]
    sizes = call.attribute("split")
    if call.opset >= 13 and call.has(1):
        sizes = call.integers(1, "sizes")
    if sizes is None:
        part = -(-size // max(1, call.attribute("num_outputs", call.outputs)))
        sizes = [max(0, min(part, size - begin * part)) for begin in range(call.outputs)]
    return lambda x, *_: torch.split(x, sizes, axis)


def slice_(call: Call) -> Function:
    """Bounds are attributes before opset 10, and inputs since; a negative step walks backward."""
    if call.opset < 10:
        begins, ends, axes, steps = call.required("starts"), call.required("ends"), call.attribute("axes"), None
    else:
        begins, ends = call.integers(1, "beginnings"), call.integers(2, "ends")
        axes = call.integers(3, "axes") if call.has(3) else None
        steps = call.integers(4, "steps") if call.has(4) else None
    axes = list(range(len(begins))) if axes is None else [call.axis(axis) for axis in axes]
    steps = [1] * len(begins) if steps is None else steps
    cuts = [
        (axis, range(call.shape()[axis])[begin:end:step])
        for axis, begin, end, step in zip(axes, begins, ends, steps, strict=True)
    ]

    def run(x: Tensor, *_: object) -> Tensor:
        for axis, kept in cuts:
            x = take(x, axis, kept)
        return x

    return run


def take(x: Tensor, axis: int, kept: range) -> Tensor:
    """The indices of an axis that a range names."""
    if kept == range(x.shape[axis]):
        return x
    backward = kept.step < 0
    kept = kept[::-1] if backward else kept
    whole: list[slice] = [slice(None)] * x.dim()
    whole[axis] = slice(kept.start, kept.stop, kept.step)
    part = x[tuple(whole)]
    return part.flip(axis) if backward else part


def expand(call: Call) -> Function:
    asked = call.integers(1, "sizes")
    shape = list(torch.broadcast_shapes(call.shape(), call.bounded(asked)))  # type: ignore[no-untyped-call]
    return lambda x, *_: x.expand(shape)


def tile(call: Call) -> Function:
    repeats = call.integers(1, "repeats")
    call.bounded([size * count for size, count in zip(call.shape(), repeats, strict=True)])

    def run(x: Tensor, *_: object) -> Tensor:
        for axis, count in enumerate(repeats):
            if count != 1:
                x = torch.cat([x] * count, axis) if x.shape[axis] != 1 else spread(x, axis, count)
        return x

    return run


def spread(x: Tensor, axis: int, count: int) -> Tensor:
    return x.expand([count if place == axis else -1 for place in range(x.dim())])


def pad(call: Call) -> Function:
    """Beginnings and ends may be negative, which cuts; before opset 11 they are attributes."""
    mode = call.attribute("mode", "constant")
    filler: float = call.attribute("value", 0.0)
    pads = call.required("pads") if call.opset < 11 else call.integers(1, "sizes")
    if call.opset >= 11:
        filler = call.static(2, "value").item() if call.has(2) else 0
    axes = [call.axis(axis) for axis in call.integers(3, "axes")] if call.has(3) else list(range(call.rank()))
    if len(pads) != 2 * len(axes):
        raise call.refuse(f"{len(pads)} sizes for {len(axes)} axes")
    ends = {axis: (pads[place], pads[place + len(axes)]) for place, axis in enumerate(axes)}
    call.bounded([size + sum(ends.get(axis, (0, 0))) for axis, size in enumerate(call.shape())])
    if mode == "constant":
        pairs = [size for axis in reversed(range(call.rank())) for size in ends.get(axis, (0, 0))]
        return lambda x, *_: functional.pad(x, pairs, value=filler)
    if mode not in MIRRORS:
        raise call.refuse(f"mode {mode} is not supported")
    return mirror(call, mode, {axis: pair for axis, pair in ends.items() if any(pair)})


def mirror(call: Call, mode: str, ends: dict[int, tuple[int, int]]) -> Function:
    """Made of slices and their mirror images, an axis at a time."""
    for axis, (before, after) in ends.items():
        if min(before, after) < 0 or max(before, after) >= call.shape()[axis] + (mode == "edge") * (1 << 30):
            raise call.refuse(f"cannot {mode} {before} and {after} beyond {call.shape()[axis]} elements")

    def run(x: Tensor, *_: object) -> Tensor:
        for axis, (before, after) in ends.items():
            front, back = MIRRORS[mode](x, axis, before, after)
            x = torch.cat([part for part in (front, x, back) if part.shape[axis]], axis)
        return x

    return run


def reflected(x: Tensor, axis: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    size = x.shape[axis]
    return x.narrow(axis, 1, before).flip(axis), x.narrow(axis, size - 1 - after, after).flip(axis)


def repeated(x: Tensor, axis: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    return spread(x.narrow(axis, 0, 1), axis, before), spread(x.narrow(axis, x.shape[axis] - 1, 1), axis, after)


def wrapped(x: Tensor, axis: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    return x.narrow(axis, x.shape[axis] - before, before), x.narrow(axis, 0, after)


MIRRORS = {"reflect": reflected, "edge": repeated, "wrap": wrapped}


def depth_to_space(call: Call) -> Function:
    batch, channels, height, width = call.shape()
    block = call.required("blocksize")
    left = channels // block**2
    if call.attribute("mode", "DCR") == "DCR":
        shape, order = [batch, block, block, left, height, width], [0, 3, 4, 1, 5, 2]
    else:
        shape, order = [batch, left, block, block, height, width], [0, 1, 4, 2, 5, 3]
    return lambda x: x.reshape(shape).permute(order).reshape(batch, left, height * block, width * block)


def space_to_depth(call: Call) -> Function:
    batch, channels, height, width = call.shape()
    block = call.required("blocksize")
    shape = [batch, channels, height // block, block, width // block, block]
    final = [batch, channels * block**2, height // block, width // block]
    return lambda x: x.reshape(shape).permute(0, 3, 5, 1, 2, 4).reshape(final)


ROWS: dict[str, Row] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
