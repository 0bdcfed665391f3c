from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED = (130, "voxc: interrupted\n")

PROGRAM = """
import atexit, os, signal, sys, tempfile, threading, time
from contextlib import contextmanager, suppress
from pathlib import Path
from voxc.compiler.core import interrupt

def ctrl_c():
    signal.raise_signal(signal.SIGINT)

def swallowed():
    try:
        ctrl_c()
    except BaseException:
        pass

def done(step):
    Path(step).touch()
"""

ENTRIES = (["-m", "voxc.compiler"], ["-c", "from voxc.compiler.cli.main import main; main()"])


class Run:
    """A program, interrupted: how it ended, and the steps that it got to, each of which leaves a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, body: str, *, before: str = "", ignoring: bool = False) -> tuple[int, str]:
        lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
        return self.python("-c", f"{PROGRAM}\n{before}\ndef program():\n{lines}\n\ninterrupt.run(program)\n",
                           ignoring=ignoring)  # fmt: skip

    def python(self, *arguments: str, ignoring: bool = False) -> tuple[int, str]:
        """Exit status and stderr."""
        handler = signal.SIG_IGN if ignoring else signal.SIG_DFL
        process = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, capture_output=True, text=True, check=False, timeout=300,
            preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
        )  # fmt: skip
        return process.returncode, process.stderr

    @property
    def steps(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_an_interrupt_ends_the_program(run: Run) -> None:
    assert run("ctrl_c()\ndone('more')") == INTERRUPTED
    assert not run.steps


def test_an_import_that_makes_it_another_error(run: Run, tmp_path: Path) -> None:
    package = tmp_path / "swallowing"
    package.mkdir()
    (package / "__init__.py").write_text(
        "try:\n    from swallowing.core import capi\nexcept BaseException as error:\n    del capi\n"
    )
    (package / "core.py").write_text("import signal; signal.raise_signal(signal.SIGINT)\n")
    assert run("import swallowing", before="sys.path.insert(0, '')") == INTERRUPTED


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_imports_of_the_command_line_are_covered(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: list[str]
) -> None:
    (tmp_path / "typer.py").write_text(
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert run.python(*entry, "--help") == INTERRUPTED


@pytest.mark.parametrize(
    "body",
    [
        "exec('ctrl_c()')",
        "try:\n    ctrl_c()\nexcept BaseException as error:\n    raise ValueError('no') from error",
        "try:\n    ctrl_c()\nexcept BaseException as error:\n    raise SystemExit(2) from None",
        "swallowed()",
    ],
    ids=["in exec", "inside another error", "inside another exit", "swallowed"],
)
def test_whatever_it_becomes_is_the_interruption(run: Run, body: str) -> None:
    assert run(body) == INTERRUPTED


@pytest.mark.parametrize("progress", ["progress", "audio_progress"])
def test_swallowed_it_comes_up_again_at_the_next_progress(run: Run, progress: str) -> None:
    arguments = {"progress": "'next'", "audio_progress": "'next', 0, 1"}[progress]
    program = f"""
from voxc.compiler.terminal import {progress}
with {progress}() as report:
    swallowed()
    done('swallowed')
    report({arguments})
    done('more')
"""
    assert run(program) == INTERRUPTED
    assert run.steps == {"swallowed"}


def test_where_python_cannot_raise_it_prints_no_traceback(run: Run) -> None:
    before = "class Closing:\n    def __del__(self):\n        ctrl_c()\n"
    assert run("Closing()\ndone('after')\ninterrupt.check()\ndone('more')", before=before) == INTERRUPTED
    assert run.steps == {"after"}


def test_other_errors_where_python_cannot_raise_are_shown(run: Run) -> None:
    code, stderr = run("Closing()", before="class Closing:\n    def __del__(self):\n        1 / 0\n")
    assert code == 0
    assert "Exception ignored" in stderr


def test_threads_that_fail_after_it_print_no_traceback(run: Run) -> None:
    program = "swallowed()\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()\nctrl_c()"
    assert run(program) == INTERRUPTED


UNCUT = """
@interrupt.uncut
def uncut():
    ctrl_c()
    done('first')
    time.sleep(0.1)
    done('second')
"""


def test_what_is_not_to_be_cut_is_not(run: Run) -> None:
    assert run("uncut()\ntime.sleep(30)\ndone('more')", before=UNCUT) == INTERRUPTED
    assert run.steps == {"first", "second"}


def test_what_ends_before_it_could_be_raised_is_interrupted_nevertheless(run: Run) -> None:
    assert run("interrupt.uncut(program)\nctrl_c()") == INTERRUPTED


def test_a_with_statement_begins_and_ends_uncut(run: Run) -> None:
    before = """
@contextmanager
@interrupt.uncut
def resource():
    swallowed()
    done('opened')
    try:
        yield
    finally:
        ctrl_c()
        done('closed')
"""
    assert run("with resource():\n    time.sleep(30)\n    done('more')", before=before) == INTERRUPTED
    assert run.steps == {"opened", "closed"}


def test_a_second_one_may_interrupt_the_clean_up(run: Run) -> None:
    program = "try:\n    ctrl_c()\nfinally:\n    done('cleaning')\n    ctrl_c()\n    done('more')"
    assert run(program) == INTERRUPTED
    assert run.steps == {"cleaning"}


def test_a_second_one_does_not_cut_what_is_uncut(run: Run) -> None:
    assert run("try:\n    ctrl_c()\nfinally:\n    uncut()", before=UNCUT) == INTERRUPTED
    assert run.steps == {"first", "second"}


def test_while_leaving_the_exit_handlers_run_to_their_end(run: Run) -> None:
    program = "def leave():\n    ctrl_c()\n    done('left')\natexit.register(leave)"
    assert run(program) == INTERRUPTED
    assert run.steps == {"left"}
    assert run(f"{program}\nctrl_c()") == INTERRUPTED


def test_an_exit_handler_that_hangs_can_be_interrupted(run: Run) -> None:
    assert run("def leave():\n    ctrl_c()\n    ctrl_c()\n    time.sleep(30)\natexit.register(leave)") == (-2, "")


def test_where_it_is_ignored_it_stays_ignored(run: Run) -> None:
    assert run("ctrl_c()\ndone('all')", ignoring=True) == (0, "")
    assert run.steps == {"all"}


def test_a_program_that_was_not_interrupted_ends_as_it_does(run: Run) -> None:
    assert run("sys.exit(3)") == (3, "")
    code, stderr = run("1 / 0")
    assert code == 1
    assert "ZeroDivisionError" in stderr


def test_a_file_is_not_put_in_place_after_it(run: Run) -> None:
    program = """
from voxc.compiler.core.whole_file import whole_file
with whole_file(Path('file')) as partial:
    partial.touch()
    swallowed()
"""
    assert run(program) == INTERRUPTED
    assert not run.steps


EVERYWHERE = """
import gc, select
from voxc.compiler.bundle import staged
from voxc.compiler.device.process import running
from voxc.compiler.core.whole_file import whole_file

def interrupt_at(number):
    # Python looks for signals where functions begin, and where functions in C have returned.
    def profile(frame, event, argument):
        nonlocal number
        if event in ("call", "c_return"):
            number -= 1
            if number == 0:
                sys.setprofile(None)
                interrupt.interrupts.handle(signal.SIGINT, frame)
    sys.setprofile(profile)

def child(number, held):
    def program():
        interrupt_at(number)
        try:
            work(held)
        except BaseException as error:
            kept.append(error)
            raise
        sys.setprofile(None)
        os._exit(1 if interrupt.interrupts.came else 0)
    sys.stderr = open(os.devnull, "w")
    interrupt.run(program)

def everywhere(stride):
    number, status = 0, None
    while status != 0:
        number += stride
        end, held = os.pipe()
        process = os.fork()
        if process == 0:
            child(number, held)
        os.close(held)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert status in (0, 1, 130), (number, status)
        left = {path.name for path in Path().iterdir()} - {"whole"}
        assert not left, (number, left)
        assert select.select([end], [], [], 5)[0], f"{number}: a process is left"
        os.close(end)
    assert number > 10 * stride, number

kept = []  # what keeps an exception keeps its frames, too: nothing goes with them
tempfile.tempdir = os.getcwd()
gc.freeze()  # children would look through all modules
"""

FILE = "with whole_file(Path('whole')) as partial: partial.write_text('all')"
FAILING = "with suppress(ValueError), whole_file(Path('whole')) as partial: partial.touch(); int('no')"
FOLDER = "with tempfile.TemporaryDirectory() as folder: (Path(folder) / 'file').touch()"
BUNDLE = "with staged(Path('whole')) as staging: (staging / 'manifest.json').touch()"
PROCESS = "with running(['sleep', '60'], pass_fds=[held]): pass"


@pytest.mark.parametrize(
    ("work", "stride"),
    [
        pytest.param(FILE, 1, id="file"),
        pytest.param(FAILING, 1, id="file that fails"),
        pytest.param(FOLDER, 4, id="folder"),
        pytest.param(BUNDLE, 47, id="bundle"),
        pytest.param(PROCESS, 5, id="process"),
        *(pytest.param(work, 1, marks=pytest.mark.slow) for work in (FOLDER, BUNDLE, PROCESS)),
    ],
)
def test_nothing_is_left_wherever_it_strikes(run: Run, work: str, stride: int) -> None:
    assert run.python("-c", f"{PROGRAM}{EVERYWHERE}\ndef work(held):\n    {work}\n\neverywhere({stride})") == (0, "")
