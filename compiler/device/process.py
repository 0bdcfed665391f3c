"""Processes that work for us, here or behind ssh: watched, limited in time, and ended with us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from voxc.compiler.core import interrupt
from voxc.compiler.core.errors import DeviceError, MissingRuntimeError
from voxc.compiler.device.protocol import PROGRESS

MOST_OUTPUT = 1 << 25  # bytes of a document; that of a full-size voice has some 200 kB
DRAINED_IN = 2.0  # seconds for what a process wrote to stderr to come in after it has ended
TAIL = 20  # lines that are kept of what is said on stderr
MOST_LINE = 300


@dataclass
class Deadline:
    """How much time is left of what the user gives the device, in seconds."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        return max(0.0, self.started + self.seconds - time.monotonic())

    @contextlib.contextmanager
    def ends(self, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> Iterator[threading.Event]:
        """Kills the process when the time is over; the event tells."""
        over = threading.Event()

        def end() -> None:
            over.set()
            kill(process)

        timer = threading.Timer(self.left, end)
        timer.daemon = True
        timer.start()
        try:
            yield over
        finally:
            timer.cancel()


@dataclass(frozen=True)
class Outcome:
    """How a process ended: `code` is its exit status, negative after a signal; `step` what it was last at; `said` the
    last lines of its stderr that were not progress."""

    code: int
    stdout: str
    step: str
    said: tuple[str, ...]


def watch(command: Sequence[str], deadline: Deadline, tell: Callable[[str], None]) -> Outcome:
    """Runs a command to its end; each line of progress on its stderr goes to `tell`.

    Whatever ends the wait, an interrupt for one, ends the process.

    Raises:
        DeviceError: it took longer than the deadline.
        MissingRuntimeError: it cannot be started.
    """
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    with tempfile.TemporaryFile() as output, running(command, stdout=output, **streams) as process:
        listener = Listener(process, tell)
        with deadline.ends(process) as over:
            code = process.wait()
        if over.is_set():
            raise DeviceError(f"took longer than {deadline.seconds:g} s (--limit), the last step was '{listener.step}'")
        listener.join(DRAINED_IN)
        output.seek(0)
        text = output.read(MOST_OUTPUT).decode(errors="replace")
        return Outcome(code, text, listener.step, tuple(listener.said))


class Listener(threading.Thread):
    """Reads a process's stderr. A thread, since behind ssh the connection may hold that pipe open when the process is
    long dead."""

    def __init__(self, process: subprocess.Popen[str], tell: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        assert process.stderr is not None
        self.stream, self.tell = process.stderr, tell
        self.step, self.said = "starting", deque[str](maxlen=TAIL)
        self.start()

    def run(self) -> None:
        with self.stream:
            for line in self.stream:
                if line.startswith(PROGRESS):
                    self.step = printable(line.removeprefix(PROGRESS))
                    self.tell(self.step)
                elif line.strip():
                    self.said.append(printable(line))


@contextlib.contextmanager
@interrupt.uncut
def running(command: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process in a group of its own, so that Ctrl-C is ours to handle; it is killed if it outlives the block."""
    process = None
    try:
        with interrupts_later():
            process = start(command, **streams)
        yield process
    finally:
        if process is not None:
            kill(process)
            process.wait()


@interrupt.uncut
def start(command: Sequence[str], **streams: Any) -> subprocess.Popen[Any]:
    try:
        return subprocess.Popen(command, start_new_session=True, **streams)
    except OSError as error:
        raise MissingRuntimeError(f"cannot run {command[0]}: {error.strerror}") from error


@contextlib.contextmanager
@interrupt.uncut
def interrupts_later() -> Iterator[None]:
    """Ctrl-C within the block is Ctrl-C at its end, whoever handles it then: a process that is half started has nobody
    yet who would end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        signal.raise_signal(signal.SIGINT)


def kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Kills a process and its group, if it still runs."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def printable(line: str) -> str:
    """A line from somewhere else: no control characters, and of a bounded length. What runtimes say begins with who
    says it and ends with what is wrong."""
    plain = "".join(character for character in line.strip() if character.isprintable())
    return plain if len(plain) <= MOST_LINE else f"{plain[: MOST_LINE // 2]} ... {plain[-MOST_LINE // 2 :]}"
