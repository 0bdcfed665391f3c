"""Files that are complete or absent, never half."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voxc.compiler.core import interrupt
from voxc.compiler.core.staging import PARTIAL_PREFIX, remove_abandoned, workplace


@contextmanager
@interrupt.uncut
def whole_file(path: Path) -> Iterator[Path]:
    """A path for a file that takes the place of `path` when the block ends well, and vanishes when it does not.

    It lies in a directory of its own beside `path`, so that two writers of one file do not meet: the last one to end
    has written it. What killed ones left behind is removed.
    """
    with suppress(OSError):
        remove_abandoned(path.parent, PARTIAL_PREFIX)
    with workplace(path.parent, PARTIAL_PREFIX) as place:
        partial = place / f"new{path.suffix}"
        yield partial
        interrupt.check()
        partial.replace(path)
