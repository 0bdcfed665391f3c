"""Converting recordings: wav to wav, or array to array."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from voxc.compiler.core.tensor import Array
from voxc.compiler.runtime.audio import SoundArray, SoundFile, check_output, write_sound
from voxc.compiler.runtime.conversion import BLOCK, Conversion, ConvertReport, Tick
from voxc.compiler.runtime.options import ConvertOptions
from voxc.compiler.runtime.pipeline import Pipeline
from voxc.compiler.runtime.scratch import Scratch


def unheard(step: str, done: float, total: float) -> None:
    """Progress for nobody."""


def convert_file(
    source: Path,
    output: Path,
    pipeline: Pipeline,
    options: ConvertOptions | None = None,
    tick: Tick = unheard,
) -> ConvertReport:
    """Converts `source`, of any format, rate and channels that libsndfile reads, to a mono file at the voice's rate.

    The suffix of `output` decides the format: `.wav` (16 bits), `.flac` (16 bits) or `.ogg` (Vorbis). It is there whole
    or not at all. Memory does not grow with the recording; the directory of `output` has to have room for 4 bytes a
    sample of the recording at 16 kHz and of the result.

    Raises:
        AudioError: `source` is no recording, is empty, or has samples that are no sound.
        OutputError: `output` cannot be written.
        RecipeError: the voice cannot do what the options ask for.
        QualityError: the networks gave something that is not a finite number.
    """
    check_output(output, source)
    with SoundFile(source) as recording, Scratch(output.parent) as heard, Scratch(output.parent) as spoken:
        conversion = Conversion(recording, pipeline, options or ConvertOptions(), heard, spoken, tick)
        conversion.run()
        with conversion.clock("write"):
            write_sound(output, told(spoken, pipeline.sample_rate, tick), pipeline.sample_rate, spoken.length)
        return conversion.report()


def convert_audio(
    audio: Array,
    rate: int,
    pipeline: Pipeline,
    options: ConvertOptions | None = None,
    tick: Tick = unheard,
) -> tuple[Array, ConvertReport]:
    """Converts float audio, [samples] or [samples, channels] at `rate` Hz, to float32 [samples] at the voice's rate.

    Raises:
        VoxcError: see `convert_file`.
    """
    recording = SoundArray(audio, rate)
    with Scratch(None) as heard, Scratch(None) as spoken:
        report = Conversion(recording, pipeline, options or ConvertOptions(), heard, spoken, tick).run()
        return spoken.read(0, spoken.length), report


def told(result: Scratch, rate: int, tick: Tick) -> Iterator[Array]:
    """The blocks of the result, with progress."""
    for start, block in result.blocks(BLOCK):
        yield block
        tick("write", (start + len(block)) / rate, result.length / rate)
