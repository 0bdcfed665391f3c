"""`voxc convert` of several recordings into a directory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxc.compiler.cli.output import complain, print_json, standing_by, tell_runtime, warn
from voxc.compiler.core.errors import IncompleteError, OutputError

if TYPE_CHECKING:
    from voxc.compiler.runtime.batch import Item, Outcome

MOST_NAMES = 10


def convert_many(
    sources: Sequence[str],
    folder: Path,
    bundle: Path,
    requested: Any,
    form: str,
    jobs: int,
    threads: int | None,
    json: bool,
) -> None:
    """Converts what can be converted.

    Raises:
        IncompleteError: some of it could not be; what could is there.
        VoxcError: nothing can be: see `find_sources`, `plan_outputs` and `load_pipeline`.
    """
    from voxc.compiler.bundle import Bundle
    from voxc.compiler.core.machine import usable_cores
    from voxc.compiler.runtime.batch import convert_files, find_sources, plan_outputs
    from voxc.compiler.runtime.pipeline import load_pipeline

    items = plan_outputs(find_sources(sources), folder, form)
    make_directory(folder)
    opened, fallbacks = Bundle.open(bundle), standing_by()
    jobs = min(jobs, len(items))
    each = threads or (max(1, usable_cores() // jobs) if jobs > 1 else None)
    pipelines = [load_pipeline(opened, each, fallbacks) for _ in range(jobs)]
    runtime = tell_runtime(opened, list(pipelines[0].runners), fallbacks)
    started = time.perf_counter()
    outcomes = {
        outcome.item: outcome
        for outcome in with_progress(convert_files(items, pipelines, requested, form), len(items), json)
    }
    wall = time.perf_counter() - started
    done = [outcomes[item] for item in items]
    if json:
        print_json({"runtime": runtime, "fallbacks": fallbacks.reasons, "wall_seconds": wall,
                    "files": [document(outcome) for outcome in done]})  # fmt: skip
    else:
        summarize(done, wall)
    refuse_failures(done)


def make_directory(folder: Path) -> None:
    """Raises OutputError if there is none, and none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a directory ({error.strerror or error})") from error


def with_progress(outcomes: Iterator[Outcome], total: int, json: bool) -> Iterator[Outcome]:
    """The outcomes, each told as it comes: a bar on a terminal, a line where the output goes elsewhere, and always what
    is wrong."""
    from voxc.compiler.terminal import audio_progress, show

    lines = not json and not (sys.stdout.isatty() and sys.stderr.isatty())
    with audio_progress("recordings") as tick:
        tick("convert", 0, total)
        for number, outcome in enumerate(outcomes, start=1):
            tick("convert", number, total)
            if outcome.report is None:
                complain(outcome.error)
            else:
                for warning in outcome.report.warnings:
                    warn(f"{outcome.item.source}: {warning}")
                if lines:
                    pace = f"real-time factor {outcome.report.real_time_factor:.3g}"
                    show(f"{outcome.item.output}: {outcome.report.seconds:.2f} s of audio, {pace}")
                    sys.stdout.flush()
            yield outcome


def document(outcome: Outcome) -> dict[str, Any]:
    names = {"source": str(outcome.item.source), "output": str(outcome.item.output)}
    if outcome.report is None:
        return {**names, "error": outcome.error}
    return {**names, "real_time_factor": outcome.report.real_time_factor, **asdict(outcome.report)}


def summarize(outcomes: Sequence[Outcome], wall: float) -> None:
    from voxc.compiler.terminal import show

    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    seconds = sum(report.seconds for report in reports)
    pace = f", {seconds / wall:.3g} times as fast as it plays" if reports else ""
    show(f"{len(reports)} of {len(outcomes)} recordings: {seconds:.1f} s of audio in {wall:.1f} s{pace}")


def refuse_failures(outcomes: Sequence[Outcome]) -> None:
    failed: list[Item] = [outcome.item for outcome in outcomes if outcome.report is None]
    if failed:
        names = ", ".join(str(item.source) for item in failed[:MOST_NAMES])
        more = f" and {len(failed) - MOST_NAMES} more" if len(failed) > MOST_NAMES else ""
        raise IncompleteError(f"{len(failed)} of {len(outcomes)} recordings were not converted: {names}{more}")
