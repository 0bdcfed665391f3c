"""The file in which a package keeps its weights.

64 bytes of header (uint32 count, uint32 version 2), then for each tensor 64 bytes about it, at a multiple of 64, and
its data. These 64 bytes are: uint32 sentinel, uint32 dtype, uint64 size in bytes, uint64 offset of the data in the
file, uint64 unused bits at the end of the data, 32 bytes reserved. Little-endian; integers below a byte are packed
from the least significant bit on, across bytes. Source: MILBlob's StorageFormat.hpp and SubByteTypes.cpp in
apple/coremltools.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.tensor import Array

VERSION = 2
SENTINEL = 0xDEADBEEF
HEADER = struct.Struct("<II56x")
ENTRY = struct.Struct("<IIQQQ32x")
#: dtypes by their number in the file.
DTYPES = {
    1: "float16", 2: "float32", 3: "uint8", 4: "int8", 5: "bfloat16", 6: "int16", 7: "uint16", 8: "int4", 9: "uint1",
    10: "uint2", 11: "uint4", 12: "uint3", 13: "uint6", 14: "int32", 15: "uint32",
}  # fmt: skip
#: Bits of the integers that are packed.
PACKED = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}
WIDTHS = PACKED | {
    "bool": 8, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
    "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64,
}  # fmt: skip


class BlobFile:
    """A file of weights, read where it is asked for; nothing is copied before.

    Raises:
        BundleError: unreadable, or not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.bytes = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: the weights cannot be read ({error})") from error
        if len(self.bytes) < HEADER.size:
            raise BundleError(f"{path}: {len(self.bytes)} bytes are no file of weights")
        _, version = HEADER.unpack_from(self.bytes.data)
        if version != VERSION:
            raise BundleError(f"{path}: weights in format {version}; this reads format {VERSION}")

    def locate(self, offset: int, dtype: str, count: int) -> Array:
        """The raw bytes of the tensor whose entry is at `offset`, which must be `count` elements of `dtype`.

        Raises:
            BundleError: there is no such tensor in the file.
        """
        if offset + ENTRY.size > len(self.bytes):
            raise BundleError(f"{self.path}: no tensor at {offset}, the file has {len(self.bytes)} bytes")
        sentinel, number, size, start, unused = ENTRY.unpack_from(self.bytes.data, offset)
        if sentinel != SENTINEL:
            raise BundleError(f"{self.path}: no tensor begins at {offset}")
        if DTYPES.get(number) != dtype:
            found = DTYPES.get(number, f"type {number}")
            raise BundleError(f"{self.path}: the tensor at {offset} is {found}, the program says {dtype}")
        if start + size > len(self.bytes):
            raise BundleError(
                f"{self.path}: the tensor at {offset} ends at {start + size}, the file has {len(self.bytes)} bytes"
            )
        bits = 8 * size - unused if dtype in PACKED else 8 * size
        if unused >= 8 or bits != count * WIDTHS[dtype]:
            raise BundleError(
                f"{self.path}: the tensor at {offset} has {size} bytes, {count} elements of {dtype} take "
                f"{bytes_of(dtype, count)}"
            )
        return self.bytes[start : start + size]


def bytes_of(dtype: str, count: int) -> int:
    """What `count` elements take, in bytes."""
    return math.ceil(count * WIDTHS[dtype] / 8)


def decode(raw: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    """A tensor from its bytes; packed integers come as int8 or uint8, bfloat16 as float32."""
    raw = np.array(raw)  # a copy, which may be written to and whose file may go
    if dtype in PACKED:
        return unpack(raw, PACKED[dtype], math.prod(shape), signed=dtype == "int4").reshape(shape)
    if dtype == "bfloat16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return raw.view(np.dtype(dtype).newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def unpack(raw: Array, bits: int, count: int, signed: bool = False) -> Array:
    """`count` integers of `bits` bits each, packed from the least significant bit on, as uint8, or int8 if `signed`."""
    values: Array
    if 8 % bits == 0:
        places = np.arange(0, 8, bits, dtype=np.uint8)
        values = ((raw[:, None] >> places) & ((1 << bits) - 1)).reshape(-1)[:count]
    else:
        spread = np.unpackbits(raw, bitorder="little")[: count * bits].reshape(count, bits)
        values = np.packbits(spread, axis=1, bitorder="little").reshape(-1)
    if not signed:
        return values.astype(np.uint8, copy=False)
    return ((values ^ (1 << (bits - 1))).astype(np.int8) - (1 << (bits - 1))).astype(np.int8)
