"""What people see: progress on stderr, results on stdout."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec

from voxc.compiler.core import interrupt
from voxc.compiler.core.figure import Figure, runs_per_second, without_repetition
from voxc.compiler.core.gates import METRICS, rate
from voxc.compiler.core.machine import Machine
from voxc.compiler.core.stderr import print_line
from voxc.compiler.core.text import visible
from voxc.compiler.manifest import ComponentBuild, Conversion, DeviceRun, Manifest

if TYPE_CHECKING:  # plain lines need no rich
    from rich.console import Console
    from rich.padding import Padding
    from rich.progress import TaskID
    from rich.table import Table
    from rich.text import Text

Report = Callable[[str], None]
P = ParamSpec("P")
#: Columns of what is not a terminal, and those that tables of many columns need.
WIDE, NARROW = 160, 100
#: Which step a message is of, and of how many.
COUNT = re.compile(r"\[(?P<number>\d+)/(?P<all>\d+)\] ")


@contextmanager
def progress() -> Iterator[Report]:
    """On a terminal one line that moves: the time since the start, how many steps of all have begun, and the current
    one; elsewhere a line for each step.

    A message is `[number/all] step, detail`, of which only the step has to be there. Details print no line.
    """
    if sys.stderr.isatty():
        with live_progress() as report:
            yield interruptible(report)
    else:
        yield interruptible(plain_progress())


def interruptible(report: Callable[P, None]) -> Callable[P, None]:
    """A report of progress that raises an interrupt again if a library has swallowed it."""

    def checked(*args: P.args, **kwargs: P.kwargs) -> None:
        interrupt.check()
        report(*args, **kwargs)

    return checked


@contextmanager
@interrupt.uncut  # a bar that is not stopped leaves the terminal without a cursor
def live_progress() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TimeElapsedColumn(),
        BarColumn(bar_width=12),
        TextColumn(
            "{task.fields[count]}{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True) as bar:
        task = bar.add_task("", total=None, count="")

        def report(message: str) -> None:
            count = COUNT.match(message)
            if count is None:
                bar.update(task, description=message)
                return
            number, total = int(count["number"]), int(count["all"])
            rest = message[count.end() :]
            bar.update(task, description=rest, total=total, completed=max(number - 1, 0), count=f"{number}/{total} ")

        yield report
        bar.update(task, total=1, completed=1, count="", description="done")


def plain_progress() -> Report:
    started = time.monotonic()
    seen: list[str] = []

    def report(message: str) -> None:
        step = message.partition(",")[0]
        if not seen or seen[-1] != step:
            seen.append(step)
            print_line(f"[{time.monotonic() - started:6.1f} s] {visible(step)}")

    return report


@contextmanager
def audio_progress(unit: str = "s") -> Iterator[Callable[[str, float, float], None]]:
    """A bar for each step of a conversion, in seconds of audio or another unit, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield interruptible(lambda step, done, total: None)
        return
    with audio_bars(unit) as tick:
        yield interruptible(tick)


@contextmanager
@interrupt.uncut
def audio_bars(unit: str) -> Iterator[Callable[[str, float, float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        TextColumn(f"{{task.completed:.0f}} of {{task.total:.0f}} {unit}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def tick(step: str, done: float, total: float) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        yield tick


def stdout_console() -> Console:
    """As wide as the terminal, or as COLUMNS says; wide where there is neither."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit() else Console(width=WIDE)


def is_narrow() -> bool:
    """Whether tables of many columns would break their words."""
    return stdout_console().width < NARROW


def show(*rows: object) -> None:
    """Prints to stdout."""
    if all(isinstance(row, str) for row in rows):
        print(*map(printable, map(str, rows)), sep="\n")
        return
    console = stdout_console()
    for row in rows:
        console.print(plain(row) if isinstance(row, str) else row, soft_wrap=isinstance(row, str))


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    from rich.table import Table

    result = Table(*columns, title=plain(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        result.add_row(*map(plain, row))
    return result


def entries(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[Padding | Text]:
    """The same as lines: the first column, and under it the others that say something, with their names. Words break
    where they would not fit."""
    from rich.padding import Padding
    from rich.text import Text

    lines: list[Padding | Text] = []
    for first, *others in rows:
        lines.append(Text(str(plain(first)), overflow="fold"))
        for name, text in zip(columns[1:], others, strict=True):
            if text:
                lines.append(Padding(Text(f"{name}: {plain(text)}", overflow="fold"), (0, 0, 0, 2), expand=False))
    return lines


def plain(text: str) -> Text:
    """Text as it is."""
    from rich.text import Text

    return Text(printable(text))


def printable(text: str) -> str:
    """What of a text may be printed: a file from anyone must neither style nor control the terminal."""
    return visible(text, also="\n")


def figures_table(manifest: Manifest) -> Table:
    """The measurements of a bundle."""
    rows: list[tuple[str, ...]] = [
        (component, name, format_figure(figure), figure.evidence or "-", figure.how)
        for component, measured in manifest.measurements.components.items()
        for name, figure in without_repetition(measured.figures)
    ]
    for run in manifest.measurements.devices:
        rows += device_rows(run, f"{run.host}: ")
    conversion = manifest.measurements.conversion
    if conversion is not None:
        families = {"fidelity": conversion.fidelity, "task": conversion.task, "conversion": conversion.steps}
        rows += [
            (family, name, format_rated(name, figure), figure.evidence or "-", figure.how)
            for family, figures in families.items()
            for name, figure in without_repetition(figures)
        ]
    return table("Measured", ("component", "figure", "value", "evidence", "how"), rows)


def device_summary(run: DeviceRun) -> list[object]:
    """The results of `voxc measure`."""
    machine = run.machine
    description = ", ".join(
        part for part in (machine.model, describe_cpu(machine), f"{machine.cores} cores", machine.system) if part
    )
    conditions = ", ".join([f"peak memory {format_figure(run.peak_memory)}", *map(" ".join, run.conditions.items())])
    return [
        f"{run.host}: {description}",
        conditions,
        table("", ("component", "figure", "value", "evidence", "how"), device_rows(run)),
    ]


def device_rows(run: DeviceRun, prefix: str = "") -> list[tuple[str, ...]]:
    return [
        (f"{prefix}{component}", name, format_figure(figure), figure.evidence or "-", figure.how)
        for component, measured in run.components.items()
        for name, figure in measured.figures.items()
    ]


def format_figure(figure: Figure) -> str:
    return "-" if figure.value is None else f"{figure.value:.4g} {figure.unit}"


def summary(place: object, manifest: Manifest) -> list[str]:
    """A bundle in a few lines."""
    lines = [f"{place}  {manifest.status}  build {manifest.build_digest[:16]}"]
    for name, measured in manifest.measurements.components.items():
        figures = measured.figures
        component = manifest.component(name)
        size, spare = (sum(file.bytes for file in files) / 1e6 for files in (component.files, component.fallback))
        sizes = f"{size:.1f} MB" + (f" and {spare:.1f} MB for PyTorch" if spare else "")
        rehearsed = figures.get("snr_rehearsed")
        coarser = "" if rehearsed is None else f" ({format_figure(rehearsed)} as the device rounds, an estimate)"
        snr = f"SNR {format_figure(figures['snr'])}{coarser}"
        lines.append(f"  {name}: {component.format}, {sizes}, {snr}, {speed(figures)}")
    conversion = manifest.measurements.conversion
    if conversion is not None:
        lines.append(
            f"  {conversion.sample} to speaker {conversion.options['speaker']}: {describe_conversion(conversion)}"
        )
    return [
        *lines,
        *untimed(manifest),
        *slow_integers(manifest),
        *(f"  FAILED: {failure}" for failure in manifest.failures),
    ]


def untimed(manifest: Manifest) -> list[str]:
    """Why components have no latency, each reason once."""
    latencies = (measured.figures["latency_median"] for measured in manifest.measurements.components.values())
    return [f"  latency {reason}" for reason in dict.fromkeys(each.how for each in latencies if each.value is None)]


def slow_integers(manifest: Manifest) -> list[str]:
    """A note for each component whose integers did not pay on the machine that timed them."""
    cpu = describe_cpu(manifest.measurements.machine)
    floats = "fp16" if manifest.build.target.capabilities.get("arithmetic") == "float16" else "fp32"
    measured = manifest.measurements.components.items()
    ratios = {name: component.figures.get("speedup_over_floats") for name, component in measured}
    return [
        f"  NOTE: {name}: integers are no faster than {floats} on {cpu}: {format_figure(ratio)}; "
        f"--precision {floats} is faster here"
        for name, ratio in ratios.items()
        if ratio is not None and ratio.value is not None and ratio.value <= 1
    ]


def describe_cpu(machine: Machine) -> str:
    """A CPU and its instructions for integers."""
    features = ", ".join(machine.integer_features)
    return f"{machine.cpu} ({features})" if features else machine.cpu


def describe_conversion(conversion: Conversion) -> str:
    """A conversion in one line: how close to PyTorch, to the speaker and to the recording's melody."""
    shown = {
        "fidelity": (conversion.fidelity, {"snr": "SNR", "stoi": "STOI"}),
        "task": (conversion.task, {"secs": "SECS", "f0_correlation": "F0 correlation", "mos": "MOS"}),
    }
    families = [
        f"{family}: " + ", ".join(f"{label} {format_rated(name, figures[name])}" for name, label in labels.items())
        for family, (figures, labels) in shown.items()
    ]
    return "; ".join([*families, f"real-time factor {format_figure(conversion.steps['real_time_factor'])}"])


def format_rated(name: str, figure: Figure) -> str:
    """A figure with its rating, if the field has ratings for it."""
    rating = rate(name, figure.value) if figure.value is not None and name in METRICS else None
    return f"{format_figure(figure)} ({rating})" if rating else format_figure(figure)


def speed(figures: Mapping[str, Figure]) -> str:
    latency = figures["latency_median"]
    if latency.value is None:
        estimate = figures.get("latency_estimate")
        return f"{format_figure(estimate)} by its peaks, an estimate" if estimate else "not timed"
    factor = figures["real_time_factor"].value
    pace = "" if factor is None else f", real-time factor {factor:.3g}"
    runs = runs_per_second(latency).value
    return (
        f"{format_figure(latency)}{'' if runs is None else f' ({runs:.4g} runs/s)'}{pace}, "
        f"{format_figure(figures['speedup'])} PyTorch eager"
    )


def precision_table(component: ComponentBuild) -> Table:
    """What the nodes of each module compute in."""
    modules = {module or component.name: counts for module, counts in component.precisions.items()}
    return counts_table("\nPrecision", "module", modules)


def operator_table(component: ComponentBuild) -> Table:
    """What the operators of the artifact compute in, as its file says."""
    return counts_table(f"\nOperators in {component.files[0].path}", "operator", component.operators)


def counts_table(title: str, first: str, counts: Mapping[str, Mapping[str, int]]) -> Table:
    """A row for each name, a column for each precision."""
    used = sorted({precision for row in counts.values() for precision in row})
    rows = [(name, *(str(row.get(precision, "")) for precision in used)) for name, row in counts.items()]
    return table(title, (first, *used), rows)
