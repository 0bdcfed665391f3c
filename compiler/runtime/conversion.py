"""Converting recordings: wav to wav, or array to array.

A chain prepares the recording, its windows go through the networks and are joined, and the chain sets the level.
Signals wait in scratch files between the steps, so memory does not grow with the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import Recording, SoundArray, SoundFile
from voxc.compiler.audio.stopwatch import Stopwatch
from voxc.compiler.audio.windows import Joiner
from voxc.compiler.audio.write import check_output, write_sound
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.chain import Chain, Conditions, State, Tick
from voxc.compiler.runtime.pipeline import Pipeline

BLOCK = 1 << 18  # samples at a time


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did.

    `seconds` of audio; `steps` are wall seconds by step; `peak` is the result's largest magnitude before it was limited
    to 0.99; `voiced` is the share of voiced frames, None for a voice that uses no F0.
    """

    seconds: float
    steps: dict[str, float]
    windows: int
    peak: float
    voiced: float | None
    warnings: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Wall seconds a second of audio."""
        return sum(self.steps.values()) / self.seconds


def unheard(step: str, done: float, total: float) -> None:
    """Progress for nobody."""


def convert_file(
    source: Path,
    output: Path,
    pipeline: Pipeline,
    options: Any = None,
    tick: Tick = unheard,
    references: Sequence[Path] = (),
    form: str | None = None,
) -> ConvertReport:
    """Converts `source`, of any format, rate and channels that libsndfile reads, to a mono file at the voice's rate.

    `form` is a name of FORMATS; without it the suffix of `output` decides: `.wav` (16 bits), `.flac` (16 bits), `.ogg`
    (Vorbis) or `.mp3`. The output is there whole or not at all. Memory does not grow with the recording; the directory
    of `output` has to have room for 4 bytes a sample of what the chain makes of the recording and of the result.

    Raises:
        AudioError: `source` is no recording, is empty, or has samples that are no sound.
        OutputError: `output` cannot be written.
        RecipeError: the voice cannot do what the options ask for.
        QualityError: the networks gave something that is not a finite number.
    """
    check_output(output, source, form)
    rate = pipeline.chain.sample_rate
    with ExitStack() as stack:
        recording = stack.enter_context(SoundFile(source))
        others = [stack.enter_context(SoundFile(reference)) for reference in references]
        scratch, result = (stack.enter_context(Scratch(output.parent)) for _ in range(2))
        conditions = conditions_of(pipeline, recording, options, scratch, tick, others)
        state = convert(pipeline, conditions, result)
        with conditions.stopwatch("write"):
            write_sound(output, blocks_of(result, rate, tick), rate, result.length, form)
        return report_of(state, conditions)


def convert_audio(
    audio: Array,
    rate: int,
    pipeline: Pipeline,
    options: Any = None,
    tick: Tick = unheard,
    references: Sequence[Recording] = (),
) -> tuple[Array, ConvertReport]:
    """Converts float audio, [samples] or [samples, channels] at `rate` Hz, to float32 [samples] at the voice's rate.

    Raises:
        VoxcError: see `convert_file`.
    """
    with Scratch(None) as scratch, Scratch(None) as result:
        conditions = conditions_of(pipeline, SoundArray(audio, rate), options, scratch, tick, references)
        state = convert(pipeline, conditions, result)
        return result.read(0, result.length), report_of(state, conditions)


def conditions_of(
    pipeline: Pipeline, source: Recording, options: Any, scratch: Scratch, tick: Tick, references: Sequence[Recording]
) -> Conditions:
    """Raises RecipeError if the voice cannot do what the options ask for."""
    options = pipeline.chain.Options() if options is None else options
    pipeline.chain.check_options(options)
    return Conditions(source, options, scratch, Stopwatch(), tick, references)


def convert(pipeline: Pipeline, conditions: Conditions, result: Scratch) -> State:
    """Fills `result`, which is empty, with what a chain makes of a recording."""
    chain: Chain[Any] = pipeline.chain
    state = chain.prepare(conditions, pipeline.runners)
    joiner = Joiner(chain.hop)
    for window in state.windows:
        audio = chain.window(state, window, conditions, pipeline.runners)
        with conditions.stopwatch("join"):
            joined = joiner.join(window, audio, last=window is state.windows[-1])
            result.append(joined[: state.length - result.length])
        done = min(window.end * chain.hop / chain.sample_rate, state.seconds)
        conditions.tick("convert", done, state.seconds)
    chain.finish(state, result, conditions)
    return state


def report_of(state: State, conditions: Conditions) -> ConvertReport:
    steps, warnings = conditions.stopwatch.seconds, (*conditions.source.warnings, *state.warnings)
    return ConvertReport(state.seconds, steps, len(state.windows), state.peak, state.voiced, warnings)


def blocks_of(result: Scratch, rate: int, tick: Tick) -> Iterator[Array]:
    """The blocks of the result, with progress."""
    for start, block in result.blocks(BLOCK):
        yield block
        tick("write", (start + len(block)) / rate, result.length / rate)
