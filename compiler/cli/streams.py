"""Standard streams as they come: closed, full, or in an encoding that lacks letters."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from voxc.compiler.cli.output import complain

UNWRITABLE = 2  # exit status


def open_streams() -> None:
    """Gives closed standard streams a place, so that no file takes theirs; what has no encoding is escaped."""
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115, open to the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def written() -> Iterator[None]:
    """Sees to it that what has been printed arrives; if it cannot, one line and exit status 2. A reader that went away
    has seen enough."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
    except OSError as error:
        forget_stdout()
        complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
        sys.exit(UNWRITABLE)


def forget_stdout() -> None:
    """Sends what is still to be printed, at the latest when the process ends, to nowhere."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
