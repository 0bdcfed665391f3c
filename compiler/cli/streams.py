"""Standard streams that cannot fail in the middle of the work: closed ones, full ones, readers that have gone."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

STDOUT, STDERR = 1, 2
FAILED = 2  # the exit code where the results could not be printed


class Sink(io.RawIOBase):
    """A file descriptor that takes everything; `error` is the first reason why something did not get through."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:
                select.select([], [self.descriptor], [])
                return 0
            except OSError as error:
                self.error = error
        return len(data)


class Streams:
    """The standard output and errors of a process, as the command line takes them over."""

    def __init__(self) -> None:
        occupy()
        self.out, self.err = Sink(STDOUT), Sink(STDERR)
        sys.stdout, sys.stderr = text(self.out, sys.stdout), text(self.err, sys.stderr)

    def exit_code(self, code: Any) -> Any:
        """The exit code of a program that ends with `code`: another one if its results did not get through.

        A reader that has gone, as `head` does, has what it wanted.
        """
        sys.stdout.flush()
        error = self.out.error
        if error is None or error.errno == errno.EPIPE:
            return code
        print(f"voxc: error: standard output cannot be written ({error.strerror})", file=sys.stderr)
        return code or FAILED


def occupy() -> None:
    """Opens closed standard streams on nothing: the next file that is opened would be taken for one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def text(sink: Sink, before: TextIO | None) -> TextIO:
    """A text stream in the encoding of the one before; letters that it lacks become escapes."""
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(sink), encoding, "backslashreplace", line_buffering=sink.isatty() or sink.descriptor == STDERR
    )
