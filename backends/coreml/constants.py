"""The constants of a package: each stored once, in as few bits as the plan says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from voxc.backends.coreml.palette import pack, palette
from voxc.backends.coreml.sdk import Var, mb, types
from voxc.backends.lowering.weight import Weight
from voxc.compiler.core.tensor import Array

#: NumPy's types by MIL's names of them.
NUMPY: dict[str, type[np.generic]] = {
    "fp16": np.float16, "fp32": np.float32, "int32": np.int32, "int8": np.int8, "uint8": np.uint8, "bool": np.bool_
}  # fmt: skip


class Constants:
    """Those of one function. `name` gives a new name; `grouped` is whether the system takes scales and palettes by
    groups, as iOS 18 and later do.
    """

    def __init__(self, name: Callable[[], str], grouped: bool) -> None:
        self.name = name
        self.grouped = grouped
        self.made: dict[str, Var] = {}

    def put(self, array: Array) -> Var:
        """A constant; equal ones are one, and what the functions of a program share is stored once."""
        array = np.ascontiguousarray(array)
        digest = hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()
        key = f"{digest}/{array.dtype}/{array.shape}"
        if key not in self.made:
            self.made[key] = mb.const(val=array, name=self.name())
            self.made[key].op.weight_id = key
        return self.made[key]

    def store(self, weight: Weight, wanted: str, bits: int = 8) -> Var:
        """A weight whose elements are used as `wanted`: integers with scales stay integers, and with 4 `bits` real
        numbers become places in a palette.

        Raises:
            OverflowError: indices that do not fit 32 bits, which are all that Core ML has.
        """
        if weight.scale is not None and weight.array.dtype == np.int8:
            return self.affine(weight, wanted)
        if weight.scale is not None:
            return self.put(weight.real.astype(NUMPY[wanted]))
        if weight.array.dtype == np.int64:
            return self.put(narrowed(weight))
        if bits == 4:
            return self.palettized(weight.array, wanted)
        return self.put(weight.array.astype(NUMPY[wanted]))

    def affine(self, weight: Weight, wanted: str) -> Var:
        """With a scale for each index of an axis, which iOS 18 and later take in the rank of the weight."""
        assert weight.scale is not None
        scale: Array = weight.scale.astype(NUMPY[wanted])
        stored = self.put(weight.array)
        if self.grouped:
            along = [1] * weight.array.ndim
            along[weight.axis] = -1
            return mb.constexpr_blockwise_shift_scale(
                data=stored, scale=self.put(scale.reshape(along)), name=self.name()
            )
        return mb.constexpr_affine_dequantize(
            quantized_data=stored, zero_point=np.int8(0), axis=weight.axis, scale=self.put(scale), name=self.name()
        )

    def palettized(self, array: Array, wanted: str) -> Var:
        """With one palette of 16 for the whole tensor."""
        table, places = palette(array)
        table = table.astype(NUMPY[wanted])
        if self.grouped:
            lut = table.reshape(*([1] * array.ndim), -1, 1)
            indices = places.reshape(array.shape).astype(types.np_uint4_dtype)
            return mb.constexpr_lut_to_dense(indices=self.put(indices), lut=self.put(lut), name=self.name())
        return mb.constexpr_lut_to_dense(
            indices=self.put(pack(places)), lut=self.put(table), shape=np.array(array.shape, np.uint32),
            name=self.name(),
        )  # fmt: skip


def narrowed(weight: Weight) -> Array:
    narrow: Array = weight.array.astype(np.int32)
    if not np.array_equal(narrow, weight.array):
        raise OverflowError(f"{weight.name} holds indices of more than 32 bits")
    return narrow
