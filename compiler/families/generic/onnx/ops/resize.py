"""Resampling of axes, each as a product with a matrix or a choice of elements that is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from voxc.compiler.families.generic.onnx.call import Call, Function, Row
from voxc.compiler.families.generic.onnx.ops.indexing import evenly
from voxc.compiler.families.generic.onnx.ops.shape import take

Array = np.ndarray
#: Elements of a matrix that resamples an axis; longer axes are for convolutions.
MAX_MATRIX = 1 << 24

#: Where an element of the result lies in the input: from its place, the sizes of both, and the scale between them.
COORDINATES: dict[str, Callable[[Array, int, int, float], Array]] = {
    "half_pixel": lambda place, size, new, scale: (place + 0.5) / scale - 0.5,
    "half_pixel_symmetric": lambda place, size, new, scale: (
        size / 2 * (1 - new / (scale * size)) + (place + 0.5) / scale - 0.5
    ),
    "pytorch_half_pixel": lambda place, size, new, scale: (
        (place + 0.5) / scale - 0.5 if new > 1 else np.zeros_like(place)
    ),
    "align_corners": lambda place, size, new, scale: (
        place * (size - 1) / (new - 1) if new > 1 else np.zeros_like(place)
    ),
    "asymmetric": lambda place, size, new, scale: place / scale,
    "tf_half_pixel_for_nn": lambda place, size, new, scale: (place + 0.5) / scale,
}
NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda place: np.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: np.floor(place + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(call: Call) -> Function:
    if call.attribute("antialias", 0) or call.attribute("exclude_outside", 0):
        raise call.refuse("antialias and exclude_outside are not supported")
    coordinates = call.attribute("coordinate_transformation_mode", "half_pixel" if call.opset >= 11 else "asymmetric")
    if coordinates not in COORDINATES:
        raise call.refuse(f"coordinates {coordinates} are not supported")
    mode = call.attribute("mode", "nearest")
    if mode not in ("nearest", "linear", "cubic"):
        raise call.refuse(f"mode {mode} is not supported")
    rounding = call.attribute("nearest_mode", "round_prefer_floor" if call.opset >= 11 else "floor")
    steps = []
    for axis, new, scale in scales(call):
        size = call.shape()[axis]
        if new == size and scale == 1:
            continue
        places = COORDINATES[coordinates](np.arange(new, dtype=np.float64), size, new, scale)
        if mode == "nearest":
            steps.append(nearest(axis, np.clip(NEAREST[rounding](places), 0, size - 1).astype(int), size))
        else:
            weights = linear_weights if mode == "linear" else cubic_weights(call.attribute("cubic_coeff_a", -0.75))
            steps.append(product(call, axis, interpolation(call, places, size, weights)))
    call.read.update(range(1, len(call.inputs)))

    def run(x: Tensor, *_: object) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run


def scales(call: Call) -> list[tuple[int, int, float]]:
    """Axis, new size and scale of each axis that is resampled."""
    shape = call.shape()
    first = 1 if call.opset < 11 else 2
    axes = [call.axis(axis) for axis in call.attribute("axes", range(len(shape)))]
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.refuse("only the aspect ratio policy stretch is supported")
    if call.has(first + 1):
        sizes = call.integers(first + 1, "sizes")
        factors = [size / shape[axis] for axis, size in zip(axes, sizes, strict=True)]
    else:
        factors = call.attribute("scales") or [
            float(each) for each in call.static(first, "scales").reshape(-1).tolist()
        ]
        sizes = [math.floor(shape[axis] * factor) for axis, factor in zip(axes, factors, strict=True)]
    if min(sizes, default=1) < 1:
        raise call.refuse(f"sizes {sizes}")
    call.bounded([size for axis, size in enumerate(shape) if axis not in axes] + sizes)
    return list(zip(axes, sizes, factors, strict=True))


def nearest(axis: int, places: Array, size: int) -> Callable[[Tensor], Tensor]:
    """A repetition of each element, a slice, or else a choice by index."""
    times, left = divmod(len(places), size)
    if not left and (places == np.arange(len(places)) // times).all():
        return lambda x: repeat(x, axis, times)
    kept = evenly(places.tolist())
    if kept is not None:
        return lambda x: take(x, axis, kept)
    index = torch.from_numpy(places)
    return lambda x: x.index_select(axis, index)


def repeat(x: Tensor, axis: int, times: int) -> Tensor:
    shape = list(x.shape)
    spread = x.unsqueeze(axis + 1).expand([*shape[: axis + 1], times, *shape[axis + 1 :]])
    return spread.reshape([*shape[:axis], shape[axis] * times, *shape[axis + 1 :]])


def linear_weights(distance: Array) -> Array:
    return np.maximum(0, 1 - np.abs(distance))


def cubic_weights(a: float) -> Callable[[Array], Array]:
    def weights(distance: Array) -> Array:
        far = np.abs(distance)
        near = (a + 2) * far**3 - (a + 3) * far**2 + 1
        outer = a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a
        return np.where(far <= 1, near, np.where(far < 2, outer, 0))

    return weights


def interpolation(call: Call, places: Array, size: int, weights: Callable[[Array], Array]) -> Array:
    """The matrix [size, len(places)] whose columns weigh the neighbours; what lies outside counts as the edge."""
    if size * len(places) > MAX_MATRIX:
        raise call.refuse(f"from {size} to {len(places)} elements in mode {call.attribute('mode')}: too long")
    matrix = np.zeros((size, len(places)))
    columns = np.arange(len(places))
    for offset in range(-1, 3):
        neighbour = np.floor(places) + offset
        np.add.at(matrix, (np.clip(neighbour, 0, size - 1).astype(int), columns), weights(places - neighbour))
    return matrix.astype(np.float32)


def product(call: Call, axis: int, matrix: Array) -> Callable[[Tensor], Tensor]:
    weights, last = torch.from_numpy(matrix), axis == call.rank() - 1
    return lambda x: x @ weights if last else (x.movedim(axis, -1) @ weights).movedim(-1, axis)


def upsample(call: Call) -> Function:
    """Resize as it was before opset 10."""
    return resize(call)


ROWS: dict[str, Row] = {"Resize": resize, "Upsample": upsample}
