"""Files that are complete or absent, never half."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxc.compiler.core import interrupt


@contextmanager
@interrupt.uncut
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` for a file that takes its place when the block ends well, and vanishes when it does not."""
    partial = path.with_name(f".{path.name}.voxc-partial")
    try:
        yield partial
        interrupt.check()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
