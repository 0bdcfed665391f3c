"""Ctrl-C at random moments of a compile and of a conversion: how the process ends, and what it leaves behind.

    python benchmarks/interrupts.py [--runs 60] [--seed 0] [--voice VOICE] [--twice]

VOICE is a tiny one unless it is named. Each run is a process group of its own with its own place for temporary files.
It gets SIGINT between its start and its end; `--twice` sends another within 0.3 s. Exits with 1 unless every run

- ended with 130, or by the signal,
- wrote one line `voxc: interrupted` to stderr beside its progress, none where the signal ended it, and no traceback,
- left no process, no temporary file but the libraries' caches that are there after every run, and nothing in the place
  for results but a whole result: a bundle that `voxc verify` passes, a recording that can be read.

The start of the interpreter belongs to CPython, some 50 ms: its handler of SIGINT is in place before it imports `site`,
what `.pth` files ask for (the finder of an editable install is half of it all) and `runpy`. An interrupt there prints
CPython's own traceback, before any line of voxc could run. Such runs, in whose tracebacks no file of voxc is, are
counted by themselves and replaced by others; so are those that had ended before their moment.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
from rich.console import Console
from rich.table import Table

from tests.voices import write_speaking_voice

ENTRIES = (["-m", "voxc.compiler"], ["-c", "from voxc.compiler.cli.main import main; main()"])
LINE = "voxc: interrupted"
EXPECTED = re.compile(r"\[ *[\d.]+ s\] |voxc: (note|warning): ")  # lines that are there without an interrupt, too
TENTHS = 10
PATIENCE = 300.0

BEFORE, TOO_LATE = "before voxc", "over already"  # no trials
GOOD = ("130", "by the signal", "130, result whole", "by the signal, result whole")


@dataclass(frozen=True)
class Work:
    """A command and its duration in seconds."""

    name: str
    arguments: tuple[str, ...]
    result: str
    seconds: float
    caches: frozenset[str]


@dataclass(frozen=True)
class Trial:
    work: str
    moment: float
    outcome: str
    stderr: str

    @property
    def counts(self) -> bool:
        return self.outcome not in (BEFORE, TOO_LATE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--twice", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voice = options.voice or write_speaking_voice(folder / "voice")
        works = prepare(folder, voice, write_speaking_voice(folder / "speech") / "sample.wav")
        trials = interrupt_all(works, folder, options.runs, random.Random(options.seed), options.twice)
    show(works, trials)
    return int(any(trial.counts and trial.outcome not in GOOD for trial in trials))


def prepare(folder: Path, voice: Path, recording: Path) -> list[Work]:
    """A compile and a conversion by its result, timed."""
    bundle = folder / "reference"
    compiling = ("compile", str(voice), "--target", "onnxruntime-cpu", "--frames", "50", "--output")
    converting = ("convert", str(recording), "--bundle", str(bundle), "--output")
    return [timed("compile", compiling, bundle), timed("convert", converting, folder / "result.wav")]


def timed(name: str, arguments: tuple[str, ...], result: Path) -> Work:
    """A work by its run to the end."""
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, *ENTRIES[0], *arguments, str(result)]
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"TMPDIR": temporary})
        seconds = time.monotonic() - started
        return Work(name, arguments, result.name, seconds, names(Path(temporary)))


def interrupt_all(works: Sequence[Work], folder: Path, runs: int, chance: random.Random, twice: bool) -> list[Trial]:
    """`runs` trials that count, as many of each work, and those that do not."""
    trials: list[Trial] = []
    for number in range(runs):
        work = works[number % len(works)]
        while True:
            place = folder / f"run-{len(trials)}"
            trial = interrupt(work, place, chance.uniform(0, work.seconds), chance, twice)
            trials.append(trial)
            print(f"{len(trials):3} {work.name} at {trial.moment:6.3f} s: {trial.outcome}", flush=True)
            if trial.counts and trial.outcome not in GOOD:
                print(trial.stderr, flush=True)
            if trial.counts:
                break
    return trials


def interrupt(work: Work, place: Path, moment: float, chance: random.Random, twice: bool) -> Trial:
    """Starts the work, interrupts it, and looks at what is left."""
    results, temporary = place / "results", place / "temporary"
    results.mkdir(parents=True)
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, *chance.choice(ENTRIES), *work.arguments, str(results / work.result)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0,
        env=os.environ | {"TMPDIR": str(temporary)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored in the background
    )  # fmt: skip
    time.sleep(moment)
    over = process.poll() is not None
    for pause in (0, chance.uniform(0, 0.3))[: 1 + twice]:
        time.sleep(pause)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
    try:
        _, stderr = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return Trial(work.name, moment, "does not end", process.communicate()[1])
    if over:
        return Trial(work.name, moment, TOO_LATE, stderr)
    outcome = ending(process.returncode, stderr)
    if outcome != BEFORE:
        outcome = ", ".join([outcome, *remains(process.pid, results, temporary, work)])
    return Trial(work.name, moment, outcome, stderr)


def ending(code: int, stderr: str) -> str:
    """How the process ended, by its exit status and its words."""
    lines = [line for line in stderr.splitlines() if not EXPECTED.match(line)]
    if "Traceback" in stderr and f"{os.sep}compiler{os.sep}" not in stderr:
        return BEFORE
    if "Traceback" in stderr or "Exception ignored" in stderr:
        return f"{code}, traceback"
    if code == -signal.SIGINT and lines in ([], [LINE]):
        return "by the signal"
    if code == 130 and lines == [LINE]:
        return "130"
    return f"{code}, {len(lines)} lines"


def remains(group: int, results: Path, temporary: Path, work: Work) -> list[str]:
    """What the process has left behind."""
    found = []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        found.append("processes left")
    found += [f"left: {name}" for name in sorted(names(temporary) - work.caches)]
    left = set(names(results))
    if work.result in left and whole(results / work.result):
        found.append("result whole")
        left.remove(work.result)
    return found + [f"left: {name}" for name in sorted(left)]


def names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir())


def whole(result: Path) -> bool:
    if result.is_dir():
        verify = [sys.executable, *ENTRIES[0], "verify", str(result)]
        return subprocess.run(verify, capture_output=True, check=False).returncode == 0
    try:
        return len(soundfile.read(result)[0]) > 0
    except soundfile.SoundFileError:
        return False


def show(works: Sequence[Work], trials: Sequence[Trial]) -> None:
    """A row for each tenth of each work's time, a column for each outcome."""
    outcomes = sorted({trial.outcome for trial in trials}, key=lambda each: (each not in GOOD, each))
    table = Table("", "moment, s", *outcomes)
    for work in works:
        mine = [trial for trial in trials if trial.work == work.name]
        for tenth in range(TENTHS):
            begin, end = (work.seconds * edge / TENTHS for edge in (tenth, tenth + 1))
            counts = Counter(trial.outcome for trial in mine if begin <= trial.moment < end)
            table.add_row(work.name, f"{begin:.1f} to {end:.1f}", *(str(counts[each] or "") for each in outcomes))
    counts = Counter(trial.outcome for trial in trials)
    table.add_row("all", "", *(str(counts[each]) for each in outcomes))
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
