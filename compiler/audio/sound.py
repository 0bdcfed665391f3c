"""Recordings in and out: what libsndfile reads, as mono blocks; what it writes, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import soundfile
import soxr

from voxc.compiler.core.errors import AudioError, OutputError
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.whole_file import whole_file

CONTENT_RATE = 16_000  # Hz, what content encoders and F0 estimators hear
BLOCK = 1 << 16  # samples
RATES = (4_000, 768_000)  # Hz
LOUDEST = 1e6  # full scale 1; recordings in floats may exceed it, noise in a damaged file exceeds this
WAV_LIMIT = (1 << 32) - (1 << 16)  # bytes of samples; RIFF counts in 32 bits
WRITTEN = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


class Recording(Protocol):
    """Audio to convert, by a name for messages, at `rate` Hz; `seconds` is what its header says, for progress."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    def blocks(self) -> Iterator[Array]:
        """Mono float32 [n]. Raises AudioError for what cannot be decoded, and for samples that are no sound."""
        ...


@dataclass(frozen=True)
class SoundArray:
    """A recording in memory: float [samples] or [samples, channels], full scale 1."""

    samples: Array
    rate: int
    name: str = "audio"

    def __post_init__(self) -> None:
        check_rate(self.rate, self.name)
        if self.samples.ndim not in (1, 2) or self.samples.dtype.kind != "f":
            raise AudioError(
                f"{self.name}: {self.samples.dtype} {list(self.samples.shape)}; give floats, [samples] or "
                "[samples, channels], full scale 1"
            )

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def blocks(self) -> Iterator[Array]:
        for start in range(0, len(self.samples), BLOCK):
            yield mono(self.samples[start : start + BLOCK], self.name, start, self.rate)


class SoundFile:
    """A file of any format, rate and number of channels that libsndfile reads."""

    def __init__(self, path: Path) -> None:
        """Raises AudioError: there is no such file, or no audio in it."""
        self.name = str(path)
        if path.is_dir():
            raise AudioError(f"{path}: is a directory; give one recording")
        try:
            with path.open("rb") as stream:
                empty = not stream.read(1)
        except OSError as error:
            raise AudioError(f"{path}: cannot be read ({error.strerror or error})") from error
        if empty:
            raise AudioError(f"{path}: is an empty file")
        try:
            self.file = soundfile.SoundFile(str(path))
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless formats
            raise AudioError(f"{path}: not a recording that libsndfile reads ({error})") from error
        self.rate = int(self.file.samplerate)
        self.seconds = self.file.frames / self.rate
        check_rate(self.rate, self.name)

    def blocks(self) -> Iterator[Array]:
        start = 0
        while True:
            try:
                block = self.file.read(BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(f"{self.name}: cannot be decoded after {start / self.rate:.2f} s ({error})") from error
            if not len(block):
                return
            yield mono(block, self.name, start, self.rate)
            start += len(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def check_rate(rate: int, name: str) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{name}: sampled at {rate} Hz; rates from {RATES[0]} to {RATES[1]} Hz can be converted")


def mono(block: Array, name: str, start: int, rate: int) -> Array:
    """The mean of the channels of a block that begins at sample `start`: [n] or [n, channels] -> float32 [n].

    Raises:
        AudioError: a sample is NaN, infinite or absurd.
    """
    block = block.reshape(len(block), -1)
    sound = (np.abs(block) <= LOUDEST).all(axis=1)  # false for NaN
    if not sound.all():
        first = int(np.argmin(sound))
        worst = block[first][np.argmax(~(np.abs(block[first]) <= LOUDEST))]
        raise AudioError(
            f"{name}: sample {start + first} (at {(start + first) / rate:.3f} s) is {worst:g} where full scale is 1; "
            "the recording is damaged"
        )
    return block.mean(axis=1, dtype=np.float32)


class Resampler:
    """Brings a stream of blocks from one rate to another; in sum round(samples * target / rate) samples."""

    def __init__(self, rate: int, target: int) -> None:
        self.stream = None if rate == target else soxr.ResampleStream(rate, target, 1, dtype="float32", quality="VHQ")

    def push(self, block: Array, last: bool = False) -> Array:
        """float32 [n] -> float32 [m]; `last` gives out what is still inside."""
        return block if self.stream is None else self.stream.resample_chunk(block, last=last)


def check_output(output: Path, source: Path | None = None) -> None:
    """Finds out before the work what would spoil the result after it.

    Raises:
        OutputError: the directory is missing, the name is taken by a directory or by the source, or its suffix is not
            that of a format that can be written.
    """
    if output.suffix.lower() not in WRITTEN:
        raise OutputError(f"{output}: recordings are written as {', '.join(WRITTEN)}; give the output such a suffix")
    if output.is_dir():
        raise OutputError(f"{output}: is a directory; name a file in it")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: there is no directory {output.parent}; make it first")
    if not os.access(output.parent, os.W_OK):
        raise OutputError(f"{output}: {output.parent} cannot be written to")
    if source is not None and output.exists() and source.exists() and output.samefile(source):
        raise OutputError(f"{output}: is the recording to convert; choose another name")


def write_sound(output: Path, blocks: Iterable[Array], rate: int, samples: int) -> None:
    """Writes mono `blocks`, `samples` in all, in the format of the suffix: whole, or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    form, coding = WRITTEN[output.suffix.lower()]
    if form == "WAV" and 2 * samples > WAV_LIMIT:
        form = "RF64"
    try:
        with (
            whole_file(output) as partial,
            soundfile.SoundFile(str(partial), "w", rate, 1, coding, format=form) as file,
        ):
            for block in blocks:
                file.write(block)
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{output}: cannot be written, is the disk full? ({error})") from error
