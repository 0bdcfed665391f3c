"""Recordings out: in one of a few formats, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from voxc.compiler.audio.sound import Resampler
from voxc.compiler.core.errors import OutputError, RecipeError
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.whole_file import whole_file

WAV_LIMIT = (1 << 32) - (1 << 16)  # bytes of samples; RIFF counts in 32 bits


@dataclass(frozen=True)
class Format:
    """How libsndfile is to write: `suffix`, container, coding, and bytes a sample if that is fixed. `rates` in Hz are
    all that it takes; empty if it takes any."""

    suffix: str
    container: str
    coding: str
    width: int = 0
    rates: tuple[int, ...] = ()

    def rate_for(self, rate: int) -> int:
        """The rate itself, or the next one that the format takes."""
        if not self.rates or rate in self.rates:
            return rate
        return min((each for each in self.rates if each > rate), default=self.rates[-1])


MPEG_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
#: By the names that `--format` takes; the first of a suffix is the usual one.
FORMATS = {
    "wav16": Format(".wav", "WAV", "PCM_16", 2),
    "wav24": Format(".wav", "WAV", "PCM_24", 3),
    "wav32f": Format(".wav", "WAV", "FLOAT", 4),
    "flac": Format(".flac", "FLAC", "PCM_16"),
    "ogg": Format(".ogg", "OGG", "VORBIS"),
    "mp3": Format(".mp3", "MP3", "MPEG_LAYER_III", rates=MPEG_RATES),
}
SUFFIXES = tuple(dict.fromkeys(each.suffix for each in FORMATS.values()))


def find_format(name: str) -> Format:
    """Raises RecipeError if there is no format of that name."""
    if name not in FORMATS:
        raise RecipeError(f"--format {name}: the formats are {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of(output: Path, name: str | None = None) -> Format:
    """The format called `name`, or else the usual one of the suffix.

    Raises:
        OutputError: recordings are not written with such a suffix, or not in that format.
        RecipeError: there is no format of that name.
    """
    suffix = output.suffix.lower()
    usual = next((each for each in FORMATS.values() if each.suffix == suffix), None)
    if usual is None:
        raise OutputError(f"{output}: recordings are written as {', '.join(SUFFIXES)}; give the output such a suffix")
    chosen = usual if name is None else find_format(name)
    if chosen.suffix != suffix:
        raise OutputError(f"{output}: --format {name} is written as {chosen.suffix}; give the output that suffix")
    return chosen


def check_output(output: Path, source: Path | None = None, form: str | None = None) -> None:
    """Finds out before the work what would spoil the result after it.

    Raises:
        OutputError: the directory is missing, the name is taken by a directory or by the source, or its suffix is not
            that of a format that can be written, or not that of the format called `form`.
        RecipeError: there is no such format.
    """
    format_of(output, form)
    if output.is_dir():
        raise OutputError(f"{output}: is a directory; name a file in it")
    if output.exists() and not output.is_file():
        raise OutputError(f"{output}: is a pipe or a device; name a file, or write to standard output with -o -")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: there is no directory {output.parent}; make it first")
    if not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output}: {output.parent} cannot be written to")
    if source is not None and output.exists() and source.exists() and output.samefile(source):
        raise OutputError(f"{output}: is the recording to convert; choose another name")


def write_sound(output: Path, blocks: Iterable[Array], rate: int, samples: int, form: str | None = None) -> None:
    """Writes mono `blocks`, `samples` in all, in the format called `form` or else the usual one of the suffix: whole,
    or not at all. MP3 takes only some rates: others become the next higher one.

    Raises:
        OutputError: the place cannot be written.
    """
    chosen = format_of(output, form)
    target = chosen.rate_for(rate)
    container = "RF64" if chosen.container == "WAV" and chosen.width * samples > WAV_LIMIT else chosen.container
    try:
        with whole_file(output) as partial, partial.open("w+b") as stream:
            with soundfile.SoundFile(
                os.dup(stream.fileno()), "w", target, 1, chosen.coding, format=container, closefd=True
            ) as file:
                for block in resampled(blocks, rate, target):
                    file.write(block)
            os.fsync(stream.fileno())  # libsndfile does not say that the last bytes did not fit
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{output}: cannot be written, is the disk full? ({error})") from error


def resampled(blocks: Iterable[Array], rate: int, target: int) -> Iterator[Array]:
    resampler = Resampler(rate, target)
    yield from map(resampler.push, blocks)
    yield resampler.push(np.zeros(0, np.float32), last=True)
