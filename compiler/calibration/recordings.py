"""Samples from recordings: the inputs of a model's components where they convert them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import SoundFile
from voxc.compiler.audio.source import refuse_pipe
from voxc.compiler.audio.suffixes import recordings_in
from voxc.compiler.audio.windows import Window
from voxc.compiler.calibration.samples import CALIBRATION_SEED, Call, Samples, too_few
from voxc.compiler.core.errors import AudioError, RecipeError
from voxc.compiler.core.file_name import readable_name
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.model import Model
from voxc.compiler.runtime.conversion import conditions_of
from voxc.compiler.runtime.eager import EagerRunner, pipeline_of
from voxc.compiler.runtime.pipeline import Pipeline

SEGMENTS = 8
LEAST_SECONDS = 0.1  # what a recording counts for that does not say how long it is

Report = Callable[[str], None]


@dataclass(frozen=True)
class Recorder(Runner):
    """Keeps the inputs of a component and passes them on; without a `runner`, whose output nobody needs, to nobody."""

    runner: Runner | None
    outputs: tuple[str, ...]
    calls: list[Call] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.calls.append({name: np.array(array) for name, array in inputs.items()})
        silence = np.zeros(1, np.float32)
        return dict.fromkeys(self.outputs, silence) if self.runner is None else self.runner.run(inputs)


def collect_samples(
    model: Model,
    frames: int,
    place: Path,
    *,
    segments: int = SEGMENTS,
    speaker: int = 0,
    transpose: float = 0.0,
    report: Report = lambda message: None,
) -> Samples:
    """The inputs of components in at most `segments` segments of `frames`, spread evenly over a recording or all
    recordings of a directory; segments overlap rather than reach beyond a recording that is longer than one.

    Only inputs have to be computed: the last component does not run.

    Raises:
        AudioError: there is no recording, or one is unreadable, empty or damaged.
        RecipeError: the model cannot convert, or not so; or `segments` is no number of them.
    """
    if segments < 1:
        raise RecipeError(f"--segments {segments}: give 1 or more")
    last = None if model.chain is None else model.chain(frames).last
    recorders = {
        each.name: Recorder(None if each.name == last else EagerRunner(each), tuple(spec.name for spec in each.outputs))
        for each in model.components
    }
    pipeline = pipeline_of(model, recorders, frames)
    options = pipeline.chain.Options(speaker=speaker, transpose=transpose, seed=CALIBRATION_SEED)
    warnings: list[str] = []
    for recording, count in allot(find_recordings(place), segments).items():
        report(f"listening to {recording.name}")
        warnings += listen(recording, count, pipeline, options, model.task.references_of(speaker), report)
    calls = {name: recorder.calls for name, recorder in recorders.items()}
    heard = len(recorders[pipeline.chain.last].calls)
    source = f"{readable_name(place)}, {heard} segments of {model.seconds_of(frames):g} s"
    return Samples(source, calls, (*too_few(model, frames, calls), *warnings))


def listen(
    path: Path,
    segments: int,
    pipeline: Pipeline,
    options: Any,
    references: Sequence[Path] = (),
    report: Report = lambda message: None,
) -> list[str]:
    """Feeds at most `segments` segments of a recording to a pipeline, with recordings of the speaker that it is
    converted to; gives warnings about it."""

    def tick(step: str, done: float, total: float) -> None:
        report(f"listening to {path.name}, {step} {done:.0f} of {total:.0f} s")

    def choose(frames: int, length: int) -> list[Window]:
        return spread(frames, length, segments)

    with ExitStack() as stack:
        recording, scratch = stack.enter_context(SoundFile(path)), stack.enter_context(Scratch(None))
        others = [stack.enter_context(SoundFile(reference)) for reference in references]
        conditions = replace(conditions_of(pipeline, recording, options, scratch, tick, others), choose=choose)
        state = pipeline.chain.prepare(conditions, pipeline.runners)
        for number, window in enumerate(state.windows, start=1):
            report(f"listening to {path.name}, segment {number} of {len(state.windows)}")
            pipeline.chain.window(state, window, conditions, pipeline.runners)
        return [f"{path.name}: {warning}" for warning in state.warnings]


def spread(frames: int, length: int, most: int) -> list[Window]:
    """At most `most` windows of `length` frames, no more than cover a recording of `frames`, as evenly as can be; all
    begin on even frames, as a content frame is two."""
    count = min(most, math.ceil(frames / length))
    middles = (np.arange(count) + 0.5) / count * frames
    starts = np.clip(np.rint((middles - length / 2) / 2) * 2, 0, max(0, (frames - length) // 2 * 2)).astype(int)
    return [Window(int(start), int(start), int(start) + length) for start in np.unique(starts)]


def allot(recordings: Sequence[Path], segments: int) -> dict[Path, int]:
    """How many of `segments`, at even distances over all recordings one after another, fall into each."""
    ends = np.cumsum([seconds_of(path) for path in recordings])
    middles = (np.arange(segments) + 0.5) / segments * ends[-1]
    return {recordings[index]: count for index, count in Counter(np.searchsorted(ends, middles).tolist()).items()}


def seconds_of(path: Path) -> float:
    with SoundFile(path) as recording:
        return max(recording.seconds, LEAST_SECONDS)


def find_recordings(place: Path) -> list[Path]:
    """A recording, or those of a directory, by name; not those of directories in it.

    Raises:
        AudioError: there is none.
    """
    if not place.is_dir():
        refuse_pipe(place)
        return [place]
    found = recordings_in(place)
    if not found:
        raise AudioError(f"{place}: a directory without recordings; give one with .wav, .flac, .ogg or .mp3 files")
    return found
