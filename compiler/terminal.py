"""What people see: progress on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ParamSpec

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from voxc.compiler.core import interrupt
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.gates import METRICS, rate
from voxc.compiler.core.harmless import harmless
from voxc.compiler.core.machine import Machine
from voxc.compiler.manifest import ComponentBuild, Conversion, DeviceRun, Manifest

Report = Callable[[str], None]
P = ParamSpec("P")


@contextmanager
def progress() -> Iterator[Report]:
    """A spinner with the current step and the time on a terminal; one line per step elsewhere.

    In a message `step, detail`, only a new `step` prints a line; details change the text beside the spinner.
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
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        steps: list[tuple[str, TaskID]] = []

        def finish_step() -> None:
            if steps:
                bar.update(steps[-1][1], total=1, completed=1)

        def report(message: str) -> None:
            message = harmless(message)
            step = message.partition(",")[0]
            if steps and steps[-1][0] == step:
                bar.update(steps[-1][1], description=message)
            else:
                finish_step()
                steps.append((step, bar.add_task(message, total=None)))

        yield report
        finish_step()


def plain_progress() -> Report:
    started = time.monotonic()
    seen: list[str] = []

    def report(message: str) -> None:
        step = message.partition(",")[0]
        if not seen or seen[-1] != step:
            seen.append(step)
            print(f"[{time.monotonic() - started:6.1f} s] {harmless(step)}", file=sys.stderr, flush=True)

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


def show(*rows: object) -> None:
    """Prints to stdout, wide when it is not a terminal."""
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for row in rows:
        console.print(plain(row) if isinstance(row, str) else row, soft_wrap=isinstance(row, str))


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    result = Table(*columns, title=plain(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        result.add_row(*map(plain, row))
    return result


def plain(text: str) -> Text:
    """Text as it is: a file from anyone must neither style nor control the terminal."""
    return Text(harmless(text, also="\n"))


def figures_table(manifest: Manifest) -> Table:
    """The measurements of a bundle."""
    rows: list[tuple[str, ...]] = [
        (component, name, format_figure(figure), figure.evidence or "-", figure.how)
        for component, measured in manifest.measurements.components.items()
        for name, figure in measured.figures.items()
    ]
    for run in manifest.measurements.devices:
        rows += device_rows(run, f"{run.host}: ")
    conversion = manifest.measurements.conversion
    if conversion is not None:
        families = {"fidelity": conversion.fidelity, "task": conversion.task, "conversion": conversion.steps}
        rows += [
            (family, name, format_rated(name, figure), figure.evidence or "-", figure.how)
            for family, figures in families.items()
            for name, figure in figures.items()
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
    return [*lines, *slow_integers(manifest), *(f"  FAILED: {failure}" for failure in manifest.failures)]


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
        return f"latency {latency.how}" + (f"; {format_figure(estimate)} by its peaks, an estimate" if estimate else "")
    factor = figures["real_time_factor"].value
    pace = "" if factor is None else f", real-time factor {factor:.3g}"
    return f"{format_figure(latency)}{pace}, {format_figure(figures['speedup'])} PyTorch eager"


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
