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
