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
    """A path near `path` for a file that takes its place when the block ends well, and vanishes when it does not.

    Of two that write one file at a time, the last to end has it, whole.
    """
    with suppress(OSError):  # a directory may be writable and not readable
        remove_abandoned(path.parent, PARTIAL_PREFIX)
    with workplace(path.parent, PARTIAL_PREFIX) as place:
        partial = place / "file"
        yield partial
        interrupt.check()
        partial.replace(path)
