"""Keys of the cache: digests of everything that a result depends on."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from voxc.compiler.core.digest import sha256_of_file

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("backends", "compiler", "passes", "targets.yaml")
#: A file that was changed this recently may change again without a difference in its times.
SETTLING_NANOSECONDS = 2_000_000_000

#: Digests of files by path, size, times and inode, for as long as the process lives.
known_files: dict[tuple[str, int, int, int, int], str] = {}


def digest(*parts: object) -> str:
    """The SHA-256 of `parts`, in hex; the same in every process.

    A part is made of what JSON has, tuples, sets, bytes, enumerations, NumPy arrays, pydantic models and dataclasses
    (with their class), and paths: a file stands for its content, a directory for the names and contents of its files.

    Raises:
        TypeError: a part is made of something else.
        OSError: a file cannot be read.
    """
    text = json.dumps([canonical(part) for part in parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(part: object) -> Any:
    """A part as JSON in which different parts are different: whatever is not a list or a scalar carries its type."""
    match part:
        case Enum():
            return {"enum": [name_of(part), part.name]}
        case None | bool() | int() | float() | str():
            return part
        case list() | tuple():
            return [canonical(each) for each in part]
        case Mapping():
            return {"mapping": sorted(([canonical(key), canonical(value)] for key, value in part.items()), key=repr)}
        case Set():
            return {"set": sorted((canonical(each) for each in part), key=repr)}
        case bytes():
            return {"bytes": hashlib.sha256(part).hexdigest()}
        case Path():
            return {"path": content(part)}
        case np.generic():
            return canonical(np.asarray(part))
        case np.ndarray() if not part.dtype.hasobject:
            return {"array": [part.dtype.str, list(part.shape), hashlib.sha256(part.tobytes()).hexdigest()]}
        case BaseModel():
            return {"model": [name_of(part), canonical(dict(part))]}
        case _ if is_dataclass(part) and not isinstance(part, type):
            values = {field.name: getattr(part, field.name) for field in fields(part)}
            return {"dataclass": [name_of(part), canonical(values)]}
    raise TypeError(f"{type(part).__name__} has no digest")


def name_of(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def content(path: Path) -> Any:
    """The digest of a file; of a directory, those of all its files by name."""
    if not path.is_dir():
        return file_digest(path)
    return {
        file.relative_to(path).as_posix(): file_digest(file)
        for file in sorted(path.rglob("*"))
        if not file.is_dir() and "__pycache__" not in file.parts
    }


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content, which is read only once as long as the file stays as it is.

    Raises:
        OSError: it cannot be read.
    """
    path = path.absolute()
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    if key not in known_files:
        result = sha256_of_file(path)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLING_NANOSECONDS:
            return result
        known_files[key] = result
    return known_files[key]


def code_of(plugin: object) -> Path:
    """The folder with the source of an object's class, for the keys of what code outside of voxc has made."""
    return Path(inspect.getfile(type(plugin))).parent


@cache
def code_digest() -> str:
    """The digest of voxc itself: its version and its sources. Another voxc has other results.

    What a result depends on beside voxc, as the versions of torch or onnx, is the caller's to add to a key.
    """
    files = {
        file.relative_to(ROOT).as_posix(): sha256_of_file(file)
        for source in SOURCES
        for file in (ROOT / source, *sorted((ROOT / source).rglob("*")))
        if file.is_file() and "__pycache__" not in file.parts
    }
    return digest(metadata.version("voxc"), files)
