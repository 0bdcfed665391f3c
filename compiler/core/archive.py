"""ZIP archives from anyone."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

#: What `zipfile` has been seen to raise of damaged archives.
BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, OverflowError, EOFError, NotImplementedError,
    RuntimeError,
)  # fmt: skip


def names_in(path: Path) -> list[str]:
    """The names of the records; none if the file is no archive, is damaged, or cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, *BROKEN):
        return []


def start_of(path: Path, record: str, limit: int = 16 << 20) -> bytes:
    """The first bytes of the only record of an archive whose name ends so, or, of another file, its own first bytes;
    none of what is damaged or cannot be read."""
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                stream.seek(0)
                return stream.read(limit)
            with zipfile.ZipFile(stream) as archive:
                names = [name for name in archive.namelist() if name.endswith(record)]
                return archive.open(names[0]).read(limit) if len(names) == 1 else b""
    except (OSError, *BROKEN):
        return b""
