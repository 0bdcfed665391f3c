"""Locks on files, which the operating system releases when the process that holds them ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from voxc.compiler.core import interrupt


@contextmanager
@interrupt.uncut
def held(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Locks the file at `path` for the block, and gives whether that succeeded; never waits.

    A `shared` lock keeps exclusive ones out, and an exclusive one keeps out all others.

    Raises:
        OSError: the file is absent, or cannot be opened.
    """
    with path.open("rb" if shared else "r+b") as stream:  # NFS grants exclusive locks to writers alone
        yield lock(stream, path, shared=shared)


def lock(stream: IO[bytes], path: Path, *, shared: bool = False) -> bool:
    """Locks an open file until it is closed; False if another process is in the way, or has removed it from `path`."""
    try:
        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
