"""ONNX files from anyone: nothing outside the model's own directory is read, and nothing is allocated on its word."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.onnx.wire import count_fields

MAX_FILE_BYTES = (1 << 31) - 1  # what a protobuf message can hold
MAX_FIELDS = 4_000_000  # parsed, each takes up to some hundred bytes


def read_model(path: Path) -> Any:
    """The ModelProto in `path`; external data stays where it is.

    Raises:
        CheckpointError: no regular file, not ONNX, or one that would unfold beyond all measure.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise CheckpointError(f"{path}: {size} bytes; an ONNX file has less than 2 GiB, weights lie beside it")
            if not size:
                raise CheckpointError(f"{path}: is empty")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
                fields = count_fields(data, onnx.ModelProto.DESCRIPTOR, MAX_FIELDS)
            if fields > MAX_FIELDS:
                raise CheckpointError(f"{path}: has more than {MAX_FIELDS} fields: refused")
            model = onnx.ModelProto.FromString(stream.read())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged or not an ONNX file ({error})") from error
    if not model.HasField("graph") or not model.opset_import:
        raise CheckpointError(f"{path}: not an ONNX file: it has no graph or no opset")
    return model


def open_regular(path: Path) -> Any:
    """A regular file for reading; a pipe or a device is refused without waiting for it."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path}: not a regular file")
    return os.fdopen(descriptor, "rb")


def read_external(model: Path, tensor: Any, size: int) -> bytes:
    """The `size` bytes of a tensor whose data lies in another file.

    Raises:
        CheckpointError: that file is not in the model's directory, or lacks the bytes.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"{model}: tensor {tensor.name}"
    location = entries.get("location", "")
    data = inside(model, location)
    if data is None:
        raise CheckpointError(f"{where}: its data is in {location!r}, which is not in the directory of the model")
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or size)
    except ValueError as error:
        raise CheckpointError(f"{where}: offset or length of its data is not a number") from error
    try:
        with open_regular(data) as stream:
            available = os.fstat(stream.fileno()).st_size
            if offset < 0 or length != size or offset + size > available:
                raise CheckpointError(
                    f"{where}: wants {size} bytes, the file says {length} at {offset} of {data.name}, of {available}"
                )
            stream.seek(offset)
            content = stream.read(size)
    except OSError as error:
        raise CheckpointError(f"{where}: {data}: {error.strerror or error}") from error
    if len(content) != size:
        raise CheckpointError(f"{where}: {data} is cut short")
    return bytes(content)


def inside(model: Path, location: str) -> Path | None:
    """The file that a model names, if links and all it is in the model's directory or below."""
    relative = PurePosixPath(location)
    if not location or "\0" in location or "\\" in location or relative.is_absolute() or ".." in relative.parts:
        return None
    directory = model.parent.resolve()
    data = (directory / relative).resolve()
    return data if data.is_relative_to(directory) else None
