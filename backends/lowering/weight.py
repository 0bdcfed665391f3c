"""Weights on their way into an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxc.compiler.core.tensor import Array


@dataclass(frozen=True)
class Weight:
    """A constant that is not stored yet, so that a lowering may lay it out first.

    `array` is what the graph stores: real numbers, indices, truth values, or int8 or int32 with a `scale` for each
    index of `axis`.
    """

    name: str
    array: Array
    scale: Array | None = None
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def real(self) -> Array:
        """What it stands for, in float32."""
        if self.scale is None:
            return self.array.astype(np.float32)
        along = [1] * self.array.ndim
        along[self.axis] = -1
        return self.array.astype(np.float32) * self.scale.astype(np.float32).reshape(along)

    def transpose(self, *order: int) -> Weight:
        order = tuple(axis % len(order) for axis in order)
        return replace(self, array=self.array.transpose(order), axis=order.index(self.axis) if order else 0)

    def expand(self, *axes: int) -> Weight:
        """With new axes of size 1 at these places of the result, in ascending order."""
        weight = self
        for place in axes:
            moved = weight.axis + (place <= weight.axis)
            weight = replace(weight, array=np.expand_dims(weight.array, place), axis=moved)
        return weight

    def reshape(self, shape: Sequence[int]) -> Weight:
        """Integers keep their scales if their axis survives with as many elements before it; else they become the real
        numbers that they stand for."""
        moved = self.array.reshape(shape)
        if self.scale is None:
            return replace(self, array=moved)
        front = int(np.prod(self.shape[: self.axis]))
        fronts = np.cumprod([1, *moved.shape[:-1]]).tolist()
        places = [
            axis for axis, size in enumerate(moved.shape) if fronts[axis] == front and size == self.shape[self.axis]
        ]
        if places:
            return replace(self, array=moved, axis=places[0])
        return Weight(self.name, self.real.reshape(shape))
