"""Whether a disk is full."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

NEEDED = 1 << 16  # bytes


def has_room(directory: Path) -> bool:
    """Whether a file of some size can be written into `directory`."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(NEEDED))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True
