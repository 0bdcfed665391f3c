"""Many recordings through one bundle: what fails is named, and the rest is done."""

from __future__ import annotations

import glob
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxc.compiler.audio.suffixes import FOREIGN, SUFFIXES, is_recording, recordings_in
from voxc.compiler.audio.write import find_format
from voxc.compiler.core import interrupt
from voxc.compiler.core.errors import AudioError, OutputError, VoxcError
from voxc.compiler.core.text import file_name
from voxc.compiler.runtime.conversion import ConvertReport, convert_file
from voxc.compiler.runtime.pipeline import Pipeline


@dataclass(frozen=True)
class Item:
    """A recording, and where its conversion goes."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: a report, or the error that says why there is none."""

    item: Item
    report: ConvertReport | None
    error: str = ""


class Stopped(Exception):
    """The others have been given up, and this conversion with them."""


def find_sources(names: Sequence[str]) -> list[Path]:
    """The recordings that files, directories and patterns such as `x/**/*.wav` name, each once.

    Of a directory these are the recordings in it, not those of directories in it; of a pattern, recordings alone.

    Raises:
        AudioError: there is no such file, or no recording in a directory or by a pattern.
    """
    return list(dict.fromkeys(path for name in names for path in sources_of(name)))


def sources_of(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = recordings_in(path, SUFFIXES | FOREIGN)  # those that nobody reads are named
        if not found:
            raise AudioError(f"{path}: a directory without recordings")
        return found
    if path.exists():
        return [path]
    if not glob.has_magic(name):
        raise AudioError(f"{path}: no such file")
    found = sorted(filter(is_recording, map(Path, glob.glob(name, recursive=True))))  # noqa: PTH207 - absolute ones too
    if not found:
        raise AudioError(f"{name}: no recording has such a name")
    return found


def plan_outputs(sources: Sequence[Path], folder: Path, form: str) -> list[Item]:
    """Where conversions go: into `folder`, by the names of the recordings, in the format called `form`.

    Raises:
        OutputError: two would go to one place, or one to that of a recording.
        RecipeError: there is no such format.
    """
    suffix = find_format(form).suffix
    stems = Counter(source.stem for source in sources)
    items: list[Item] = []
    taken: dict[Path, Path] = {}
    for source in sources:
        output = folder / file_name(source.stem if stems[source.stem] == 1 else source.name, suffix)
        if output in taken:
            raise OutputError(
                f"{output}: would be made of {taken[output]} and of {source}; convert them into different directories"
            )
        taken[output] = source
        items.append(Item(source, output))
    recordings = {source.resolve() for source in sources}
    for item in items:
        if item.output.resolve() in recordings:
            raise OutputError(f"{item.output}: is a recording to convert; choose another directory with -o")
    return items


def convert_files(
    items: Sequence[Item], pipelines: Sequence[Pipeline], options: Any = None, form: str | None = None
) -> Iterator[Outcome]:
    """Converts recordings, as many at a time as there are pipelines, and gives what became of each as soon as it is
    known; errors of one are no errors of the others.

    Raises:
        RecipeError: the voice cannot do what the options ask for.
    """
    pipelines[0].chain.check_options(pipelines[0].chain.Options() if options is None else options)
    idle: queue.SimpleQueue[Pipeline] = queue.SimpleQueue()
    for pipeline in pipelines:
        idle.put(pipeline)
    stopped = threading.Event()

    def convert(item: Item) -> Outcome:
        pipeline = idle.get()
        try:
            return attempt(item, pipeline, options, form, stopped)
        finally:
            idle.put(pipeline)

    with ThreadPoolExecutor(len(pipelines)) as pool:
        try:
            for future in as_completed([pool.submit(convert, item) for item in items]):
                interrupt.check()
                yield future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def attempt(item: Item, pipeline: Pipeline, options: Any, form: str | None, stopped: threading.Event) -> Outcome:
    """One conversion, which ends early once the others have been given up."""

    def tick(step: str, done: float, total: float) -> None:
        if stopped.is_set():
            raise Stopped

    try:
        return Outcome(item, convert_file(item.source, item.output, pipeline, options, tick, form=form))
    except (VoxcError, OSError) as error:
        message = str(error)
        return Outcome(item, None, message if str(item.source) in message else f"{item.source}: {message}")
