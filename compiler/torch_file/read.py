"""Reads what `torch.save` wrote: an archive of records, or, before PyTorch 1.6, one pickle after the other."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from voxc.compiler.core.archive import BROKEN
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.file_kind import ARCHIVE, HEAD_BYTES, archive_of, foreign_kind
from voxc.compiler.torch_file.machine import Machine
from voxc.compiler.torch_file.objects import DTYPES, Named, RefusedError

MAX_FILE_BYTES = 8 << 30
LEAST_ELEMENTS = 1 << 26  # 256 MiB in float32; files with overlapping views may be small
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
PICKLE = b"\x80"
RECORD, DATA, BYTE_ORDER = "data.pkl", "data", "byteorder"
# What a damaged file makes the machine, the archive and the views of storages raise.
DAMAGED = (*BROKEN, IndexError, TypeError, AttributeError, RecursionError, MemoryError)


def read_torch_file(path: Path) -> Any:
    """The object in `path`: tensors on the CPU, plain containers, and stand-ins for the rest (`objects`).

    Raises:
        CheckpointError: the file is damaged, hostile, or nothing that torch.save wrote.
    """
    try:
        head = opening(path)
        with path.open("rb") as stream:
            if head.startswith(ARCHIVE):
                return read_archive(path, stream)
            if head.startswith(PICKLE):
                return read_legacy(path, stream)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except RefusedError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except DAMAGED as error:
        raise CheckpointError(f"{path}: damaged or not a PyTorch checkpoint; copy or download it again") from error
    raise CheckpointError(f"{path}: {foreign_kind(head) or 'not a PyTorch checkpoint'}")


def opening(path: Path) -> bytes:
    """The first bytes of a file."""
    if path.is_dir():
        raise RefusedError("is a directory; a checkpoint is a file (.pth)")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise RefusedError(f"{size} bytes; a checkpoint has at most {MAX_FILE_BYTES}")
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def most_elements(path: Path) -> int:
    """How many elements the tensors of a file may have in all."""
    return max(path.stat().st_size, LEAST_ELEMENTS)


class Storages:
    """The storages of a file by their keys, in memory that the file's own size bounds."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.buffers: dict[str, bytearray] = {}
        self.tensors: dict[str, Tensor] = {}

    def allocate(self, identifier: Any) -> tuple[str, bool]:
        """Makes room for a storage as a persistent identifier describes it; gives its key, and whether it is new."""
        kind, storage_type, key, _, count, *view = identifier
        if kind != "storage" or not isinstance(storage_type, Named) or not isinstance(key, str):
            raise ValueError("not a storage")
        if any(each is not None for each in view):
            raise RefusedError("holds views of storages, as PyTorch before 0.4 saved them; save it with a newer one")
        if storage_type.name not in DTYPES:
            raise RefusedError(f"holds a storage that voxc does not read ({storage_type}); save dense tensors instead")
        if key in self.tensors:
            return key, False
        dtype = DTYPES[storage_type.name]
        size = count * dtype.itemsize
        if not 0 <= size <= self.left:
            raise RefusedError("damaged: a tensor claims more elements than the file holds")
        self.left -= size
        self.buffers[key] = bytearray(size)
        self.tensors[key] = torch.frombuffer(self.buffers[key], dtype=dtype) if size else torch.empty(0, dtype=dtype)
        return key, True


def read_archive(path: Path, stream: IO[bytes]) -> Any:
    if not zipfile.is_zipfile(stream):
        raise RefusedError("damaged: the end of the file is missing; copy or download it again")
    with zipfile.ZipFile(stream) as archive:
        top = top_folder(archive)
        records = {info.filename: info for info in archive.infolist()}
        if any(info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size
               for info in records.values()):  # fmt: skip
            raise RefusedError("an archive with compressed records; torch.save never compresses: refused")
        order = records.get(f"{top}/{BYTE_ORDER}")
        if order is not None and archive.read(order)[:8].strip() == b"big":
            raise RefusedError("written on a big-endian machine; save it again on another")
        storages = Storages(path.stat().st_size)

        def storage(identifier: Any) -> Tensor:
            key, new = storages.allocate(identifier)
            if new and storages.buffers[key]:
                with archive.open(records[f"{top}/{DATA}/{key}"]) as record:
                    fill_buffer(record, storages.buffers[key])
            return storages.tensors[key]

        with archive.open(records[f"{top}/{RECORD}"]) as record:
            return Machine(storage, most_elements(path)).run(record)


def top_folder(archive: zipfile.ZipFile) -> str:
    """The folder of all records.

    Raises:
        RefusedError: the archive is not one of torch.save.
    """
    names = archive.namelist()
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise RefusedError("a TorchScript module; save the state_dict of the module that it was made of")
    tops = [name.removesuffix(f"/{RECORD}") for name in names if name.endswith(f"/{RECORD}") and name.count("/") == 1]
    if len(tops) != 1:
        raise RefusedError(archive_of(names))
    return tops[0]


def fill_buffer(stream: IO[bytes], buffer: bytearray) -> None:
    view = memoryview(buffer)
    while view:
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]


def read_legacy(path: Path, stream: IO[bytes]) -> Any:
    """Magic number, protocol, the writer's machine, the object, the keys of its storages, and then these."""
    storages = Storages(path.stat().st_size)

    def storage(identifier: Any) -> Tensor:
        return storages.tensors[storages.allocate(identifier)[0]]

    def pickled() -> Any:
        return Machine(storage, most_elements(path)).run(stream)

    if pickled() != LEGACY_MAGIC:
        raise ValueError("another magic number")
    pickled()
    if pickled().get("little_endian") is False:
        raise RefusedError("written on a big-endian machine; save it again on another")
    content = pickled()
    for key in pickled():
        (count,) = struct.unpack("<q", stream.read(8))
        if count != storages.tensors[key].numel():
            raise ValueError("storages of other sizes")
        fill_buffer(stream, storages.buffers[key])
    return content
