"""Files that are complete or absent, never half."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voxc.compiler.core import interrupt
from voxc.compiler.core.staging import remove_abandoned, workplace
from voxc.compiler.core.text import shortened

MARK = ".voxc-partial-"
STEM_BYTES = 200  # of the name of a workplace


@contextmanager
@interrupt.uncut
def whole_file(path: Path) -> Iterator[Path]:
    """A path for a file that takes the place of `path` when the block ends well, and vanishes when it does not.

    It lies in a directory of its own beside `path`, so that two writers of one file do not meet: the last one to end
    has written it. What killed ones left behind is removed.
    """
    prefix = f".{shortened(path.name, STEM_BYTES)}{MARK}"
    with suppress(OSError):
        remove_abandoned(path.parent, prefix)
    with workplace(path.parent, prefix) as place:
        partial = place / f"new{path.suffix}"
        yield partial
        interrupt.check()
        partial.replace(path)
