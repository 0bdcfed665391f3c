"""A full disk, whatever a library makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxc.compiler.core.errors import BundleError, CompileError, OutputError, VoxcError

PROBE = bytes(1 << 20)


@contextmanager
def room(directory: Path, name: Path) -> Iterator[None]:
    """What fails in this block because `directory` is full becomes an OutputError about `name`: SDKs have errors of
    their own for that.

    Raises:
        OutputError: a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise cannot_be_written(name, error) from error
    except Exception as error:
        # Files that could not be written whole may be what a backend finds wrong; other errors of ours say why.
        unclear = not isinstance(error, VoxcError) or isinstance(error, BundleError | CompileError)
        refusal = refusal_of(directory) if unclear else None
        if refusal is None:
            raise
        raise cannot_be_written(name, refusal) from error


def refusal_of(directory: Path) -> OSError | None:
    """Why nothing more can be written into a directory; None if something can."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            if file.write(PROBE) < len(PROBE):
                file.write(PROBE)
    except OSError as error:
        return error
    return None


def cannot_be_written(name: Path, error: OSError) -> OutputError:
    return OutputError(f"{name}: cannot be written ({error.strerror or error})")
