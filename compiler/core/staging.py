"""Directories for what is not complete yet. They end with their block, or are removed after their process has died."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from voxc.compiler.core import interrupt
from voxc.compiler.core.locks import held, lock

LOCK_NAME = ".lock"
PARTIAL_PREFIX = ".voxc-partial-"  # short: what is made may have the longest name that there can be


@contextmanager
@interrupt.uncut
def workplace(parent: Path, prefix: str) -> Iterator[Path]:
    """A directory in `parent` that belongs to this block, and vanishes with it. Rename what is to stay out of it.

    Raises:
        OSError: `parent` cannot be written.
    """
    with ExitStack() as stack:
        place = claim(parent, prefix, stack)
        try:
            yield place
        finally:
            remove(place)


def claim(parent: Path, prefix: str, stack: ExitStack) -> Path:
    """A new directory with a lock that `stack` holds.

    Another process may take it for an abandoned one until it is locked; then the next will do.
    """
    while True:
        place = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        path = place / LOCK_NAME
        with suppress(FileNotFoundError):
            if lock(stack.enter_context(path.open("xb")), path):
                return place


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Removes the workplaces of dead processes: the operating system has released their locks.

    Raises:
        OSError: `parent` cannot be read.
    """
    for place in parent.iterdir():
        if not place.name.startswith(prefix):
            continue
        with suppress(OSError):  # not empty
            place.rmdir()
        with suppress(OSError), held(place / LOCK_NAME) as dead:
            if dead:
                remove(place)


def remove(place: Path) -> None:
    """Removes a workplace whose lock this process holds. The lock goes last: a workplace without one is empty."""
    with suppress(OSError):  # what cannot be removed is left to the next run
        for child in place.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            elif child.name != LOCK_NAME:
                child.unlink()
        (place / LOCK_NAME).unlink()
        place.rmdir()
