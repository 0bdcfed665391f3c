"""Reading and writing elements by their places."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import Call, Lowerings

#: How scattered updates meet what is there, as torch's reductions.
REDUCTIONS = {"max": "amax", "min": "amin", "mul": "prod"}


def places_in(call: Call, size: int, name: str = "indices") -> Tensor:
    """Places along an axis of `size`, counted from the front; negative ones count from the back."""
    places = call.tensor(name).to(torch.int64)
    places = torch.where(places < 0, places + size, places)
    if bool(((places < 0) | (places >= size)).any()):
        raise call.wrong(f"{name} beyond the {size} elements of the axis")
    return places


def gather(call: Call) -> Tensor:
    """Whole slices of x along an axis, `batch_dims` leading axes walked together."""
    x, batch = call.tensor("x"), call.integer("batch_dims", 0)
    axis = call.axis("axis", x.dim(), 0)
    places = places_in(call, x.shape[axis])
    batch = batch % places.dim() if batch < 0 else batch
    if batch == 0:
        taken = x.index_select(axis, places.reshape(-1))
        return taken.reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])
    lead = list(x.shape[:batch])
    if list(places.shape[:batch]) != lead or axis < batch:
        raise call.wrong(f"{batch} shared axes of {list(x.shape)} and {list(places.shape)}")
    rows = math.prod(lead)
    parts = [
        one.index_select(axis - batch, where.reshape(-1))
        for one, where in zip(
            x.reshape(rows, *x.shape[batch:]), places.reshape(rows, *places.shape[batch:]), strict=True
        )
    ]
    return torch.stack(parts).reshape([*x.shape[:axis], *places.shape[batch:], *x.shape[axis + 1 :]])


def gather_along_axis(call: Call) -> Tensor:
    x = call.tensor("x")
    axis = call.axis("axis", x.dim(), 0)
    return torch.gather(x, axis, places_in(call, x.shape[axis]))


def gather_nd(call: Call) -> Tensor:
    """Slices of x at points, whose coordinates are the last axis of `indices`."""
    x, points, batch = call.tensor("x"), call.tensor("indices").to(torch.int64), call.integer("batch_dims", 0)
    lead = list(x.shape[:batch])
    if list(points.shape[:batch]) != lead or points.shape[-1] > x.dim() - batch:
        raise call.wrong(f"points {list(points.shape)} in a tensor of shape {list(x.shape)}")
    columns = coordinates(call, points, list(x.shape[batch:]))
    grid = torch.meshgrid(*(torch.arange(size) for size in lead), indexing="ij") if lead else ()
    spread = [axis.reshape(*lead, *[1] * (points.dim() - 1 - batch)) for axis in grid]
    return x[(*spread, *columns)]


def coordinates(call: Call, points: Tensor, sizes: list[int]) -> list[Tensor]:
    """The coordinates of points, each checked against the size of its axis and counted from the front."""
    columns = []
    for place in range(points.shape[-1]):
        column = points[..., place]
        column = torch.where(column < 0, column + sizes[place], column)
        if bool(((column < 0) | (column >= sizes[place])).any()):
            raise call.wrong(f"indices beyond the {sizes[place]} elements of axis {place}")
        columns.append(column)
    return columns


def scattered(call: Call, data: Tensor, targets: Tensor, updates: Tensor) -> Tensor:
    """`data` with `updates` at the flat places `targets`, one after the other in the sense of the mode."""
    mode = call.text("mode", "add")
    if targets.numel() != updates.numel():
        raise call.wrong(f"{updates.numel()} updates for {targets.numel()} places")
    flat, places, values = data.reshape(-1).clone(), targets.reshape(-1), updates.reshape(-1)
    if mode in ("add", "sub"):
        return flat.index_add_(0, places, values, alpha=1 if mode == "add" else -1).reshape(data.shape)
    if mode in REDUCTIONS:
        return flat.scatter_reduce_(0, places, values, REDUCTIONS[mode]).reshape(data.shape)
    if mode == "update":
        return flat.scatter_(0, places, values).reshape(data.shape)
    if mode != "div":
        raise call.unsupported(f"the mode {mode}")
    for place, value in zip(places.tolist(), values, strict=True):
        flat[place] /= value
    return flat.reshape(data.shape)


def scatter(call: Call) -> Tensor:
    """Updates of whole slices along an axis."""
    data, updates = call.tensor("data"), call.tensor("updates")
    axis = call.axis("axis", data.dim(), 0)
    places = places_in(call, data.shape[axis])
    numbers = torch.arange(data.numel()).reshape(data.shape)
    targets = numbers.index_select(axis, places.reshape(-1))
    return scattered(call, data, targets.reshape([*data.shape[:axis], *places.shape, *data.shape[axis + 1 :]]), updates)


def scatter_along_axis(call: Call) -> Tensor:
    data = call.tensor("data")
    axis = call.axis("axis", data.dim(), 0)
    numbers = torch.arange(data.numel()).reshape(data.shape)
    targets = torch.gather(numbers, axis, places_in(call, data.shape[axis]))
    return scattered(call, data, targets, call.tensor("updates"))


def scatter_nd(call: Call) -> Tensor:
    """Updates of slices at points, whose coordinates are the last axis of `indices`."""
    data, points = call.tensor("data"), call.tensor("indices").to(torch.int64)
    if points.shape[-1] > data.dim():
        raise call.wrong(f"points {list(points.shape)} in a tensor of shape {list(data.shape)}")
    numbers = torch.arange(data.numel()).reshape(data.shape)
    return scattered(call, data, numbers[tuple(coordinates(call, points, list(data.shape)))], call.tensor("updates"))


def one_hot(call: Call) -> Tensor:
    """`on_value` at the place that each index names, `off_value` elsewhere; an index out of range names none."""
    places, size = call.tensor("indices").to(torch.int64), call.integer("one_hot_vector_size")
    axis = call.axis("axis", places.dim() + 1, -1)
    call.bounded([*places.shape, size])
    hot = (places.unsqueeze(axis) == torch.arange(size).reshape(-1, *[1] * (places.dim() - axis))).double()
    on, off = call.number("on_value", 1), call.number("off_value", 0)
    return (hot * (on - off) + off).to(call.held())


def non_zero(call: Call) -> Tensor:
    return call.tensor("x").nonzero().to(call.held())


TABLE: Lowerings = {
    "gather": gather,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
    "non_zero": non_zero,
    "one_hot": one_hot,
    "scatter": scatter,
    "scatter_along_axis": scatter_along_axis,
    "scatter_nd": scatter_nd,
}

EXACT = frozenset({"gather", "gather_along_axis", "gather_nd"})
