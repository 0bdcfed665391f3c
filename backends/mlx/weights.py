"""The weights of a network as they are stored: in which type, in which layout, in how many bits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np

from voxc.backends.mlx.statements import Value
from voxc.compiler.core.tensor import Array

#: Sizes of the groups that share a scale, in order of preference: MLX's own default, and what narrower layers allow.
GROUP_SIZES = (64, 32)
#: Marks of voxc's own passes in the names of weights, of which people need not know.
MARKS = ("_channels_last", "_reordered", "_rows", "_float16", "_folded", "_heads")


@dataclass(frozen=True)
class Packed:
    """Weights in groups of `group_size` along their last axis: integers of `bits` bits, a scale and an offset each."""

    integers: Value
    scales: Value
    offsets: Value
    group_size: int
    bits: int


@dataclass
class WeightStore:
    """What `model.safetensors` will hold; what is asked for twice is stored once."""

    taken: set[str] = field(default_factory=set)
    arrays: dict[str, Array] = field(default_factory=dict)
    known: dict[tuple[object, ...], Value] = field(default_factory=dict)

    def add(self, name: str, array: Array) -> Value:
        """Stores an array, under a name of its own that is as near to `name` as may be."""
        array = np.ascontiguousarray(array)
        key = (name, array.dtype.name, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self.known:
            self.known[key] = Value(self.unused(plain(name)), array.shape, array.dtype.name, weight=True)
            self.arrays[self.known[key].name] = array
        return self.known[key]

    def unused(self, name: str) -> str:
        found, number = name, 1
        while found in self.taken or found in self.arrays:
            number += 1
            found = f"{name}_{number}"
        return found

    def pack(self, name: str, matrix: Array, bits: int, dtype: str) -> Packed | None:
        """Weights [..., I] in `bits` bits, scales and offsets in `dtype`; None where no size of group divides I."""
        size = next((size for size in GROUP_SIZES if matrix.shape[-1] % size == 0), None)
        if size is None or matrix.ndim < 2:
            return None
        stem = plain(name).removesuffix(".weight")
        integers, scales, offsets = mx.quantize(mx.array(np.ascontiguousarray(matrix)), group_size=size, bits=bits)
        return Packed(
            self.add(f"{stem}.weight", np.array(integers)),
            self.add(f"{stem}.scales", np.array(scales).astype(dtype)),
            self.add(f"{stem}.biases", np.array(offsets).astype(dtype)),
            size,
            bits,
        )


def plain(name: str) -> str:
    """A weight's name without what passes have added to it."""
    for mark in MARKS:
        name = name.replace(mark, "")
    return name
