"""Ctrl-C on the command line: one line on stderr, exit code 130, nothing left behind.

The handler raises KeyboardInterrupt, as Python's own does, and remembers that it did: libraries swallow that exception,
or make another of it. So whatever comes out of a program that was interrupted is the interruption, and `check` raises
it again where the work goes on regardless. Where an interrupt would leave something behind, in a function marked
`uncut`, the handler puts it off until that function has returned.

In a library Python's own handler stays in place; there `check` does nothing and the marks have no meaning.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, ParamSpec, TypeVar

INTERRUPTED = 130
RETRY = 0.01  # seconds until an interrupt that was put off is tried again
LIBRARY_UNCUT = frozenset({"tempfile"})  # its functions are short, and make and remove files
LIBRARY_HINGES = frozenset({"contextlib", "weakref"})  # what happens between a `with` and its generator

P = ParamSpec("P")
T = TypeVar("T")

uncut_code: set[CodeType] = set()


def uncut(function: Callable[P, T]) -> Callable[P, T]:
    """Marks a function that no interrupt cuts in half: one that comes meanwhile is raised soon after.

    In a generator for `contextmanager` (`uncut` goes below it) that is so for the beginning and the end of the `with`
    statement, and not for its body.
    """
    uncut_code.add(function.__code__)
    return function


class Interrupts:
    """What is known of SIGINT in this process: whether it came, and whether the program is over already."""

    def __init__(self) -> None:
        self.came = False
        self.leaving = False
        self.printed = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT, and of the alarm by which one that was put off is tried again."""
        if self.leaving:
            if number == signal.SIGINT:
                self.came = True
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # should leaving hang, the next one ends the process
            return
        self.came = True
        if must_not_be_cut(frame):
            signal.setitimer(signal.ITIMER_REAL, RETRY)
            return
        self.interrupt()

    def interrupt(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raises KeyboardInterrupt if the program was interrupted and goes on nevertheless."""
        if self.came and not self.leaving and threading.current_thread() is threading.main_thread():
            self.interrupt()

    def is_interruption(self, error: BaseException) -> bool:
        """Whether a program ended by being interrupted. From here on nothing is raised any more."""
        self.leave()
        self.came = self.came or isinstance(error, KeyboardInterrupt)
        return self.came

    def leave(self) -> None:
        self.leaving = True
        signal.setitimer(signal.ITIMER_REAL, 0)

    def say(self) -> None:
        """The one line."""
        if not self.printed:
            self.printed = True
            with suppress(OSError, ValueError):  # stderr may be closed
                print("voxc: interrupted", file=sys.stderr, flush=True)

    def end(self) -> None:
        """The last of the exit handlers. An interrupted process ends here, for modules that were imported by half, and
        threads that were cut off, may not survive what the interpreter does next. Another one has nothing left to do
        that would matter: the signal may end it."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.came:
            self.say()
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)

    def unless_interrupted(self, hook: Callable[[Any], object]) -> Callable[[Any], None]:
        """A hook that prints a traceback, but not of what an interrupt has brought about."""

        def quiet(failure: Any) -> None:
            if not self.came:
                hook(failure)

        return quiet


interrupts = Interrupts()
check = interrupts.check
for method in (Interrupts.is_interruption, Interrupts.leave, Interrupts.end):
    uncut(method)


def must_not_be_cut(frame: FrameType | None) -> bool:
    """Whether an interrupt at this frame would leave something behind."""
    if frame is not None and frame.f_globals.get("__name__") in LIBRARY_HINGES:
        return True
    while frame is not None:
        if frame.f_code in uncut_code or frame.f_globals.get("__name__") in LIBRARY_UNCUT:
            return True
        frame = frame.f_back
    return False


def run(program: Callable[[], object]) -> None:
    """Runs a program as the process's only one; when it is interrupted, the process exits with 130.

    Where SIGINT is ignored, as in the background jobs of a shell, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        take_over()
    try:
        program()
    except BaseException as error:  # libraries make any exception of an interrupt
        if not interrupts.is_interruption(error):
            raise
    interrupts.leave()
    if interrupts.came:
        gc.collect()  # with the exception go its frames; what they had open is closed
        interrupts.say()
        sys.exit(INTERRUPTED)


def take_over() -> None:
    atexit.register(interrupts.end)  # the first to be registered is the last to run
    sys.unraisablehook = interrupts.unless_interrupted(sys.unraisablehook)
    threading.excepthook = interrupts.unless_interrupted(threading.excepthook)
    signal.signal(signal.SIGALRM, interrupts.handle)
    signal.signal(signal.SIGINT, interrupts.handle)
