"""Operators that choose elements by their places."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row
from voxc.compiler.families.generic.onnx.ops.shape import take


def gather(call: Call) -> Function:
    """Known places that lie evenly are a slice; any others are looked up as rows of a table."""
    axis = call.axis(call.attribute("axis", 0))
    size, shape, places_shape = call.shape()[axis], call.shape(), call.shape(1)
    places = None if call.folds else call.constant(1)
    result = [*shape[:axis], *places_shape, *shape[axis + 1 :]]
    if places is None:
        return lambda x, indices: look_up(x, axis, wrapped(indices, size) if call.folds else indices, result)
    known = wrapped(places, size)
    flat = [int(place) for place in known.reshape(-1).tolist()]
    if any(not 0 <= place < size for place in flat):
        raise call.refuse(f"a place beyond the {size} elements of axis {axis}")
    kept = evenly(flat)
    if kept is not None:
        return lambda x, *_: take(x, axis, kept).reshape(result)
    return lambda x, *_: look_up(x, axis, known, result)


def wrapped(indices: Tensor, size: int) -> Tensor:
    """Counted from the front."""
    return torch.where(indices < 0, indices + size, indices)


def evenly(places: list[int]) -> range | None:
    """The range that these places are."""
    if not places:
        return None
    step = places[1] - places[0] if len(places) > 1 else 1
    if not step:
        return None
    kept = range(places[0], places[-1] + (1 if step > 0 else -1), step)
    return kept if list(kept) == places else None


def look_up(x: Tensor, axis: int, indices: Tensor, shape: list[int]) -> Tensor:
    table = x.movedim(axis, 0)
    rest = list(table.shape[1:])
    rows = functional.embedding(indices, table.reshape(table.shape[0], -1))
    found = rows.reshape([*indices.shape, *rest])
    order = list(range(indices.dim(), indices.dim() + axis))
    behind = list(range(indices.dim() + axis, found.dim()))
    return found.permute([*order, *range(indices.dim()), *behind]).reshape(shape)


def gather_elements(call: Call) -> Function:
    axis = call.axis(call.attribute("axis", 0))
    size = call.shape()[axis]
    known = call.value(1).constant is not None
    return lambda x, indices: torch.gather(x, axis, wrapped(indices, size) if known else indices)


def gather_nd(call: Call) -> Function:
    batch = call.attribute("batch_dims", 0)
    if batch:
        raise call.refuse("batch_dims is not supported")
    indices = call.static(1, "places").movedim(-1, 0)
    sizes = call.shape()
    parts = tuple(wrapped(each, sizes[axis]) for axis, each in enumerate(indices))
    return lambda x, *_: x[parts]


def scatter_elements(call: Call) -> Function:
    axis, how = call.axis(call.attribute("axis", 0)), call.attribute("reduction", "none")
    size = call.shape()[axis]
    known = call.value(1).constant is not None
    reductions = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if how != "none" and how not in reductions:
        raise call.refuse(f"reduction {how} is not supported")

    def run(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        places = wrapped(indices, size) if known else indices
        if how == "none":
            return torch.scatter(x, axis, places, updates)
        return torch.scatter_reduce(x, axis, places, updates, reductions[how])

    return run


def scatter_nd(call: Call) -> Function:
    how = call.attribute("reduction", "none")
    if how not in ("none", "add"):
        raise call.refuse(f"reduction {how} is not supported")
    indices = call.static(1, "places").movedim(-1, 0)
    sizes = call.shape()
    parts = tuple(wrapped(each, sizes[axis]) for axis, each in enumerate(indices))
    return lambda x, _, updates: x.index_put(parts, updates, accumulate=how == "add")


def one_hot(call: Call) -> Function:
    depth = call.integers(1, "depth")[0]
    off, on = call.static(2, "values").tolist()
    dtype, axis = call.dtype(2), call.attribute("axis", -1)
    rank = call.rank() + 1
    place = call.axis(axis, rank)
    call.bounded([*call.shape(), depth])
    dtype = torch.float32 if dtype.is_floating_point else dtype

    def run(indices: Tensor, *_: object) -> Tensor:
        column = torch.arange(depth).reshape([-1 if each == place else 1 for each in range(rank)])
        return (wrapped(indices, depth).unsqueeze(place) == column).to(dtype) * (on - off) + off

    return run


ROWS: dict[str, Row] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterElements": scatter_elements,
    "Scatter": scatter_elements,
    "ScatterND": scatter_nd,
    "OneHot": one_hot,
}
