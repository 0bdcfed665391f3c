"""Samples from recordings: what a voice's components are given where they convert them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from voxc.compiler.calibration.samples import CALIBRATION_SEED, Call, Samples, too_few
from voxc.compiler.core.errors import AudioError, RecipeError
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.runtime.audio import SoundFile
from voxc.compiler.runtime.conversion import Conversion
from voxc.compiler.runtime.eager import EagerRunner
from voxc.compiler.runtime.options import ConvertOptions
from voxc.compiler.runtime.pipeline import Pipeline
from voxc.compiler.runtime.scratch import Scratch
from voxc.compiler.runtime.voice import pipeline_of
from voxc.compiler.runtime.windows import Window

SEGMENTS = 8
LEAST_SECONDS = 0.1  # what a recording counts for that does not say how long it is

Report = Callable[[str], None]


@dataclass(frozen=True)
class Recorder(Runner):
    """Keeps what a component is given, and passes it on; without a `runner`, whose output nobody needs, silence."""

    runner: Runner | None
    calls: list[Call] = field(default_factory=list)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.calls.append({name: np.array(array) for name, array in inputs.items()})
        return {"audio": np.zeros(1, np.float32)} if self.runner is None else self.runner.run(inputs)


def collect_samples(
    voice: VoiceModel,
    frames: int,
    place: Path,
    *,
    segments: int = SEGMENTS,
    speaker: int = 0,
    transpose: float = 0.0,
    report: Report = lambda message: None,
) -> Samples:
    """What components are given in at most `segments` segments of `frames`, spread evenly over a recording or all
    recordings of a directory; segments overlap rather than reach beyond a recording that is longer than one.

    Only what a component is given has to be computed: the synthesizer does not run.

    Raises:
        AudioError: there is no recording, or one is unreadable, empty or damaged.
        RecipeError: the voice cannot convert, or not so; or `segments` is no number of them.
    """
    if segments < 1:
        raise RecipeError(f"--segments {segments}: give 1 or more")
    runners = {
        component.name: Recorder(None if component.name == "synthesizer" else EagerRunner(component))
        for component in voice.components
    }
    pipeline = pipeline_of(voice, runners, frames)
    options = ConvertOptions(speaker=speaker, transpose=transpose, seed=CALIBRATION_SEED)
    warnings: list[str] = []
    for recording, wanted in allot(find_recordings(place), segments).items():
        report(f"listening to {recording.name}")
        warnings += listen(recording, wanted, pipeline, options, report)
    calls = {name: recorder.calls for name, recorder in runners.items()}
    source = f"{place.name}, {len(runners['synthesizer'].calls)} segments of {frames / voice.frame_rate:g} s"
    return Samples(source, calls, (*too_few(voice, frames, calls), *warnings))


def listen(
    path: Path, segments: int, pipeline: Pipeline, options: ConvertOptions, report: Report = lambda message: None
) -> list[str]:
    """Feeds at most `segments` segments of a recording to a pipeline; gives warnings about it."""

    def tick(step: str, done: float, total: float) -> None:
        report(f"listening to {path.name}, {step} {done:.0f} of {total:.0f} s")

    with SoundFile(path) as recording, Scratch(None) as heard, Scratch(None) as spoken:
        conversion = Conversion(recording, pipeline, options, heard, spoken, tick)
        conversion.analyse()
        windows = spread(conversion.frames, pipeline.frames, segments)
        contour = conversion.contour(windows) if pipeline.uses_f0 else None
        for number, window in enumerate(windows, start=1):
            report(f"listening to {path.name}, segment {number} of {len(windows)}")
            pipeline.run(window, heard, contour, options, conversion.clock)
        silent = ["the recording is silent"] * conversion.silent
        return [f"{path.name}: {warning}" for warning in (*silent, *conversion.warnings)]


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
        return [place]
    suffixes = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"}
    found = sorted(path for path in place.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    if not found:
        raise AudioError(f"{place}: a directory without recordings; give one with .wav, .flac, .ogg or .mp3 files")
    return found
