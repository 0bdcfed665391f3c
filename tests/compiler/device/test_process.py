from __future__ import annotations

import signal
import sys

import pytest

from voxc.compiler.core.errors import DeviceError, MissingRuntimeError
from voxc.compiler.device.process import MOST_LINE, Deadline, Outcome, interrupts_later, printable, watch
from voxc.compiler.device.report import read_answer

AGENT = """
import sys
print("hello", flush=True)
for line in ("voxc-agent: content: loading", "a warning", "", "voxc-agent: content: timing, run 1"):
    print(line, file=sys.stderr, flush=True)
sys.exit(5)
"""


def test_progress_is_told_and_the_rest_kept() -> None:
    told: list[str] = []
    outcome = watch([sys.executable, "-c", AGENT], Deadline(60), told.append)
    assert told == ["content: loading", "content: timing, run 1"]
    assert outcome == Outcome(5, "hello\n", "content: timing, run 1", ("a warning",))


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(MissingRuntimeError, match="cannot run no-such-program"):
        watch(["no-such-program"], Deadline(60), print)


def test_a_deadline_covers_all_that_is_done_in_it() -> None:
    deadline = Deadline(1)
    with pytest.raises(DeviceError, match=r"took longer than 1 s \(--limit\)"):
        watch(["sleep", "60"], deadline, print)
    assert deadline.left == 0
    with pytest.raises(DeviceError, match="took longer"):
        watch(["sleep", "60"], deadline, print)


def test_an_interrupt_waits_until_there_is_something_to_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_later():
        signal.raise_signal(signal.SIGINT)
        done.append("started")
    assert done == ["started"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_comes_from_elsewhere_does_not_steer_the_terminal() -> None:
    assert printable("\x1b[31mred\x07\n") == "[31mred"
    long = printable("begin" + "x" * 10_000 + "end")
    assert len(long) < MOST_LINE + 10
    assert long.startswith("begin")
    assert long.endswith("end")


def test_a_complaint_of_an_unknown_kind_is_still_told() -> None:
    said = '{"agent": 1, "error": {"kind": "weather", "message": "too\\u001b hot"}}'
    with pytest.raises(DeviceError, match="board: too hot"):
        read_answer(Outcome(2, said, "starting", ()), "board", "python3")


def test_what_a_login_shell_prints_before_the_document_is_passed_over() -> None:
    said = 'Welcome!\n{"agent": 1, "error": {"kind": "missing", "message": "no mlx"}}\n'
    with pytest.raises(MissingRuntimeError, match="board: no mlx"):
        read_answer(Outcome(3, said, "starting", ()), "board", "python3")
