"""The layout of FAISS index files: flat vectors, inverted files of them, and both behind numbers of their own.

Our own reader, because faiss opens other files where an index names them. Nothing in the file is believed: a length is
compared with what the file still holds before anything is allocated. The layout follows `faiss/impl/index_write.cpp`.
All numbers are little-endian.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.tensor import Array

FLAT, IVF_FLAT = b"IxF2", b"IwFl"
NUMBERED = (b"IxMp", b"IxM2")
ARRAY_LISTS, NO_LISTS, LISTS_ON_DISK = b"ilar", b"il00", b"ilod"
FULL, SPARSE = b"full", b"sprs"
HASHTABLE = 2  # the kind of a direct map

# An index opens with its kind; then come its width, number of vectors, two unused words, trained, metric.
HEADER = struct.Struct("<iqqq?i")
FLOAT = np.dtype("<f4")
NUMBER = np.dtype("<i8")


@dataclass(frozen=True)
class Header:
    """What every index opens with. `kind` is four letters; `metric` 1 is squared Euclidean distance."""

    kind: bytes
    width: int
    count: int
    trained: bool
    metric: int


class IndexFile:
    """An open index file, read from its start to its end.

    Raises:
        CheckpointError: from any method, the file ends too early or contradicts itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream: BinaryIO = path.open("rb")
        self.left = os.fstat(self.stream.fileno()).st_size  # bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def damaged(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: damaged: {why}; copy or download the file again")

    def take(self, size: int) -> bytes:
        return self.array(size, np.dtype(np.uint8)).tobytes()

    def word(self) -> int:
        """An unsigned number of 64 bits."""
        return int.from_bytes(self.take(8), "little")

    def array(self, count: int, dtype: np.dtype[Any]) -> Array:
        """The next `count` values [count]."""
        size = count * dtype.itemsize
        if size > self.left:
            raise self.damaged("it ends too early")
        self.left -= size
        values = np.fromfile(self.stream, dtype, count)
        if len(values) < count:
            raise self.damaged("it ends too early")
        return values

    def header(self) -> Header:
        kind = self.take(4)
        width, count, _, _, trained, metric = HEADER.unpack(self.take(HEADER.size))
        return Header(kind, width, count, trained, metric)

    def flat(self, width: int) -> Array:
        """The vectors [n, width] of a flat index, after its header."""
        count = self.word()
        if count % width:
            raise self.damaged(f"{count} values do not make vectors of {width}")
        return self.array(count, FLOAT).reshape(-1, width)

    def skip_direct_map(self) -> None:
        (kind,) = self.take(1)
        self.array(self.word(), NUMBER)
        if kind == HASHTABLE:
            self.array(2 * self.word(), NUMBER)

    def lists(self, cells: int, width: int) -> Array:
        """The vectors [n, width] of all cells in the order of their numbers, which may be any.

        They may be fewer than were added: faiss counts a vector with NaN in it and puts it into no cell.
        """
        kind = self.take(4)
        if kind == LISTS_ON_DISK:
            raise CheckpointError(
                f"{self.path}: its lists are in another file, which voxc does not open; merge them into the index "
                "(faiss: index.replace_invlists with ArrayInvertedLists), or take RVC's added_IVF*_Flat_*.index"
            )
        if kind == NO_LISTS:
            return np.empty((0, width), FLOAT)
        if kind != ARRAY_LISTS:
            raise self.damaged(f"lists of an unknown kind {kind!r}")
        if (self.word(), self.word()) != (cells, width * FLOAT.itemsize):
            raise self.damaged("its lists are of another size than it says")
        sizes = self.list_sizes(cells)
        if sum(sizes) * (width * FLOAT.itemsize + NUMBER.itemsize) > self.left:
            raise self.damaged("it ends too early")
        vectors = np.empty((sum(sizes), width), FLOAT)
        numbers = np.empty(sum(sizes), NUMBER)
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            vectors[part] = self.array(size * width, FLOAT).reshape(size, width)
            numbers[part] = self.array(size, NUMBER)
            start += size
        return vectors[np.argsort(numbers, kind="stable")]

    def list_sizes(self, cells: int) -> list[int]:
        """How many vectors each cell that has any holds, in the order of the cells."""
        layout = self.take(4)
        if layout == FULL:
            sizes = self.array(self.word(), np.dtype("<u8")).tolist()
            if len(sizes) != cells:
                raise self.damaged(f"it has {cells} cells and sizes of {len(sizes)}")
            return [size for size in sizes if size]
        if layout == SPARSE:
            pairs = self.array(self.word(), np.dtype("<u8")).reshape(-1, 2).tolist()
            numbers = [cell for cell, _ in pairs]
            if numbers != sorted(set(numbers)) or any(cell >= cells for cell in numbers):
                raise self.damaged("its cells are not in order")
            return [size for _, size in pairs if size]
        raise self.damaged(f"sizes of an unknown kind {layout!r}")
