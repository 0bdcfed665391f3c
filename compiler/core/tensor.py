"""What a tensor of a component is: name, shape, dtype, unit and meaning; and raw tensors in files."""

from __future__ import annotations

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from pydantic import BaseModel, ConfigDict, Field

from voxc.compiler.core.axis import TIME, Sizes
from voxc.compiler.core.errors import OutputError, TensorError
from voxc.compiler.core.whole_file import whole_file

Array = np.ndarray

SYMBOLIC = r"^(?:([1-9][0-9]{0,5})\*)?([A-Z][A-Za-z0-9_]{0,31})(?:\+([1-9][0-9]{0,5}))?$"
Dim = int | Annotated[str, Field(pattern=SYMBOLIC)]

MAX_TENSOR_BYTES = 1 << 31
#: What Python raises for an archive, a member or a header that is not what it says.
UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, ValueError, EOFError, OverflowError,
    NotImplementedError, RuntimeError, KeyError, TypeError, MemoryError,
)  # fmt: skip


class TensorSpec(BaseModel):
    """A named input or output of a component.

    A dimension is a size, or follows from an axis of the component: `"T"`, `"<n>*T"`, `"T+<m>"` or `"<n>*T+<m>"`, where
    T (frames of a segment) may be any axis. `bounds` are the least and the largest value that an index may have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    unit: str
    meaning: str
    bounds: tuple[int, int] | None = None

    def bind(self, sizes: Sizes) -> TensorSpec:
        """This spec with its axes as long as `sizes` says."""
        return self.model_copy(update={"shape": self.bound_shape(sizes)})

    def bound_shape(self, sizes: Sizes) -> tuple[int, ...]:
        """The shape with its axes as long as `sizes` says."""
        return tuple(dim if isinstance(dim, int) else length_of(dim, sizes) for dim in self.shape)

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes that its shape depends on."""
        return tuple(dict.fromkeys(terms(dim).axis for dim in self.shape if isinstance(dim, str)))

    def accept(self, array: Array) -> Array:
        """`array` as the artifact takes it.

        Raises:
            TensorError: the shape does not fit, a value is out of bounds, or values do not survive the cast to `dtype`.
        """
        array = np.asarray(array)
        if not self.fits(array.shape):
            raise TensorError(f"{self.name}: shape {list(array.shape)}, the component takes {list(self.shape)}")
        cast = self.cast(array)
        if self.bounds is not None and not ((cast >= self.bounds[0]) & (cast <= self.bounds[1])).all():
            raise TensorError(f"{self.name}: {cast.min()} to {cast.max()}, the component takes {self.meaning}")
        return cast

    def cast(self, array: Array) -> Array:
        if array.dtype == self.dtype:
            return np.asarray(array, order="C")
        if array.dtype.kind not in "biuf":
            raise TensorError(f"{self.name}: {array.dtype} values, the component takes {self.dtype}")
        with np.errstate(all="ignore"):
            cast = array.astype(self.dtype)
            unharmed = np.array_equal(cast.astype(array.dtype), array, equal_nan=array.dtype.kind == "f")
        if not unharmed:
            raise TensorError(
                f"{self.name}: the {array.dtype} values do not fit {self.dtype} without loss; convert them beforehand"
            )
        return np.asarray(cast, order="C")

    def fits(self, shape: tuple[int, ...]) -> bool:
        if len(shape) != len(self.shape):
            return False
        return all(
            length == dim if isinstance(dim, int) else axis_length(dim, length) is not None
            for length, dim in zip(shape, self.shape, strict=True)
        )


class Terms(NamedTuple):
    """A symbolic dimension, `"<factor>*<axis>+<offset>"`."""

    factor: int
    axis: str
    offset: int


@cache
def terms(dim: str) -> Terms:
    match = re.match(SYMBOLIC, dim)
    assert match, f"{dim!r} is not a dimension"
    return Terms(int(match[1] or 1), match[2], int(match[3] or 0))


def length_of(dim: str, sizes: Sizes) -> int:
    """How long a symbolic dimension is, for the lengths of the axes."""
    factor, axis, offset = terms(dim)
    return factor * sizes[axis] + offset


def axis_length(dim: str, length: int) -> int | None:
    """How long its axis is where a symbolic dimension is `length` long; None if it cannot be."""
    factor, _, offset = terms(dim)
    size, rest = divmod(length - offset, factor)
    return size if size > 0 and not rest else None


def accept_inputs(specs: Iterable[TensorSpec], tensors: Mapping[str, Array]) -> dict[str, Array]:
    """`tensors` checked and cast for the component whose inputs `specs` describe.

    Raises:
        TensorError: a name is missing or unknown, a tensor does not fit its spec, or two disagree on an axis.
    """
    specs = list(specs)
    expected = [spec.name for spec in specs]
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    if missing or unknown:
        said = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise TensorError(f"inputs do not match the component ({'; '.join(said)}); it takes {', '.join(expected)}")
    accepted = {spec.name: spec.accept(tensors[spec.name]) for spec in specs}
    axes: dict[str, dict[int | None, str]] = {}
    for spec in specs:
        for length, dim in zip(accepted[spec.name].shape, spec.shape, strict=True):
            if isinstance(dim, str):
                axes.setdefault(terms(dim).axis, {})[axis_length(dim, length)] = spec.name
    for axis, lengths in axes.items():
        if len(lengths) > 1:
            message = ", ".join(f"{name} has {length}" for length, name in lengths.items())
            what = "the number of frames" if axis == TIME else f"the length of axis {axis}"
            raise TensorError(f"inputs disagree on {what}: {message}")
    return accepted


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an NPZ file from anyone: no pickles, nothing larger than what its bytes hold.

    Raises:
        TensorError: unreadable, too large, or with Python objects in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if sum(info.file_size for info in members) > MAX_TENSOR_BYTES:
                raise TensorError(f"{path}: holds more than {MAX_TENSOR_BYTES >> 30} GiB of tensors")
            arrays = {}
            for info in members:
                with archive.open(info) as stream:
                    arrays[info.filename.removesuffix(".npy")] = read_npy(stream)  # type: ignore[arg-type]
            return arrays
    except UNREADABLE as error:
        raise TensorError(f"{path}: not a readable NPZ file ({error})") from error


def read_npy(stream: BinaryIO) -> Array:
    """One array whose header may lie: what it announces is read, never allocated."""
    version = npy_format.read_magic(stream)
    read_header = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"NPY version {version} is not supported")
    shape, fortran_order, dtype = read_header(stream)
    if dtype.hasobject:
        raise ValueError("holds Python objects")
    count = 1
    for length in shape:
        count *= length
    flat = np.frombuffer(stream.read(count * dtype.itemsize), dtype, count)
    return flat.reshape(shape, order="F" if fortran_order else "C").copy()


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes `arrays` in name order, whole or not at all; the same arrays give the same bytes.

    Raises:
        OutputError: the place cannot be written.
    """
    try:
        with whole_file(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
