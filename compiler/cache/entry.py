"""One entry of the cache: a directory of files, and an index with their sizes and digests.

KIND/KEY/index.json
KIND/KEY/files/...
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voxc.compiler.core.digest import sha256_of_file
from voxc.compiler.core.figure import Record
from voxc.compiler.core.text import visible

INDEX_NAME = "index.json"
FILES_NAME = "files"


class DamagedEntry(Exception):
    """The files of an entry are not those that were written, or cannot be understood."""


class UnsuitableEntry(Exception):
    """Something cannot be kept: its files would not say all that it is."""


@dataclass(frozen=True)
class Entry:
    """An entry as people see it. `bytes` is the size of its files; `label` says what it is, as `voice.pth`."""

    kind: str
    key: str
    bytes: int
    created: datetime
    last_used: datetime
    label: str


class StoredFile(Record):
    bytes: int
    sha256: str


class Index(Record):
    """What an entry holds: its files by their paths below `files`. The index's own mtime says when it was last used."""

    created: datetime
    label: str
    files: Mapping[str, StoredFile]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


def write_index(place: Path, label: str) -> Index:
    """Completes an entry whose files are in place."""
    folder = place / FILES_NAME
    files = {
        path.relative_to(folder).as_posix(): StoredFile(bytes=path.stat().st_size, sha256=sha256_of_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    index = Index(created=datetime.now(UTC), label=visible(label), files=files)
    (place / INDEX_NAME).write_text(index.model_dump_json(indent=1), encoding="utf-8")
    return index


def read_index(place: Path) -> Index:
    """The index of an entry, whose files are not checked.

    Raises:
        DamagedEntry: it is not an index.
        OSError: it cannot be read.
    """
    try:
        return Index.model_validate_json((place / INDEX_NAME).read_bytes())
    except ValueError as error:
        raise DamagedEntry(f"{INDEX_NAME} is not an index") from error


def check_files(place: Path, index: Index) -> None:
    """Raises DamagedEntry unless the files are those that were written; OSError if they cannot be read."""
    for name, file in index.files.items():
        path = place / FILES_NAME / name
        if not path.is_file() or path.stat().st_size != file.bytes:
            raise DamagedEntry(f"{name} is not the file that was written")
        if sha256_of_file(path) != file.sha256:
            raise DamagedEntry(f"the SHA-256 of {name} is not that of the file that was written")


def touch(place: Path) -> None:
    """Marks an entry as used now; a read-only one stays as it is."""
    with suppress(OSError):
        os.utime(place / INDEX_NAME)


def describe(place: Path) -> Entry | None:
    """The entry at a place; None if it is damaged, or has just been removed."""
    try:
        index = read_index(place)
        used = datetime.fromtimestamp((place / INDEX_NAME).stat().st_mtime, UTC)
    except (DamagedEntry, OSError):
        return None
    return Entry(place.parent.name, place.name, index.bytes, index.created, used, index.label)
