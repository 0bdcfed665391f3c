"""Samples on disk, so that the length of a recording costs no memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from voxc.compiler.core.errors import OutputError
from voxc.compiler.core.tensor import Array

BYTES = 4


class Scratch:
    """Mono float32 samples in a file without a name: nothing stays behind, however the process ends.

    It is made in `folder` and not where temporary files go by default, which may well be memory. `peak` is the largest
    magnitude that was appended; `gain` is applied to what is read.
    """

    def __init__(self, folder: Path | None) -> None:
        try:
            self.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise no_room(folder, error) from error
        self.folder = folder
        self.length = 0
        self.peak = 0.0
        self.gain = 1.0

    def append(self, block: Array) -> None:
        """Raises OutputError if the disk is full."""
        if len(block):
            self.peak = max(self.peak, float(np.abs(block).max()))
            self.overwrite(self.length, block)
            self.length += len(block)

    def overwrite(self, start: int, block: Array) -> None:
        data = np.ascontiguousarray(block, np.float32).data.cast("B")
        try:
            self.file.seek(start * BYTES)
            if self.file.write(data) < len(data):
                raise OSError("disk full")
        except OSError as error:
            raise no_room(self.folder, error) from error

    def read(self, start: int, count: int) -> Array:
        """Samples `start` ... `start + count - 1` as float32; the signal is reflected at its ends as often as needed,
        as NumPy's `pad` does with mode `reflect`."""
        if start >= 0 and start + count <= self.length:
            return self.stored(start, count)
        positions = reflected(np.arange(start, start + count), self.length)
        first = int(positions.min())
        return self.stored(first, int(positions.max()) + 1 - first)[positions - first]

    def stored(self, start: int, count: int) -> Array:
        block = np.empty(count, np.float32)
        self.file.seek(start * BYTES)
        self.file.readinto(block.data)
        return block if self.gain == 1 else block * np.float32(self.gain)

    def blocks(self, size: int) -> Iterator[tuple[int, Array]]:
        """All samples in order, as (position of the first, block)."""
        for start in range(0, self.length, size):
            yield start, self.stored(start, min(size, self.length - start))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def reflected(positions: Array, length: int) -> Array:
    """Where in a signal of `length` samples the samples of its endless reflection lie: int [n] -> int [n]."""
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded = positions % period
    return np.minimum(folded, period - folded)


def no_room(folder: Path | None, error: OSError) -> OutputError:
    place = folder or tempfile.gettempdir()
    return OutputError(f"{place}: no room for intermediate results ({error.strerror or error})")
