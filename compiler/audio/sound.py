"""Recordings: what libsndfile reads, as mono blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import soundfile
import soxr

from voxc.compiler.audio.cut_off import missing
from voxc.compiler.audio.foreign import describe, remedy
from voxc.compiler.audio.source import mended_wav, open_source
from voxc.compiler.core.errors import AudioError
from voxc.compiler.core.file_kind import HEAD_BYTES
from voxc.compiler.core.tensor import Array

CONTENT_RATE = 16_000  # Hz, what content encoders and F0 estimators hear
BLOCK = 1 << 16  # samples
RATES = (4_000, 768_000)  # Hz
LOUDEST = 1e6  # full scale 1; recordings in floats may exceed it, noise in a damaged file exceeds this
CANCELLED = 0.1  # of the power that the mean of unrelated channels has
AUDIBLE = 1e-6  # mean square, -60 dB: quieter sound says nothing about the rest of a recording


class Recording(Protocol):
    """Audio to convert, by a name for messages, at `rate` Hz; `seconds` is what its header says, for progress."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def warnings(self) -> list[str]:
        """What a listener would want to know, once all blocks have been read."""
        ...

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

    @property
    def warnings(self) -> list[str]:
        return [] if self.channel is None else [cancelling(self.channel)]

    @cached_property
    def channel(self) -> int | None:
        """The only channel that is heard; None for the mean of all."""
        return lone_channel(self.pieces()) if self.samples.ndim == 2 else None

    def pieces(self) -> Iterator[Array]:
        return (self.samples[start : start + BLOCK] for start in range(0, len(self.samples), BLOCK))

    def blocks(self) -> Iterator[Array]:
        for number, piece in enumerate(self.pieces()):
            yield mono(piece, self.name, number * BLOCK, self.rate, self.channel)


class SoundFile:
    """A file, or what a pipe brings, of any format, rate and number of channels that libsndfile reads.

    `warnings` are complete when all blocks have been read.
    """

    def __init__(self, path: Path) -> None:
        """Raises AudioError: there is no such file, or no audio in it."""
        self.name = str(path)
        self.warnings: list[str] = []
        self.stream = open_source(path)
        try:
            self.file = self.decoder()
            self.rate = int(self.file.samplerate)
            check_rate(self.rate, self.name)
        except AudioError:
            self.stream.close()
            raise
        self.seconds = self.file.frames / self.rate

    def decoder(self) -> soundfile.SoundFile:
        """A decoder at the beginning of the file."""
        mended = mended_wav(self.stream)
        self.stream.seek(0)
        try:
            return soundfile.SoundFile(mended or os.dup(self.stream.fileno()), closefd=True)
        except soundfile.SoundFileError as error:
            self.stream.seek(0)
            what = describe(self.name, self.stream.read(HEAD_BYTES))
            raise AudioError(
                f"{self.name}: {what}"
                if what
                else f"{self.name}: not a recording that libsndfile reads ({said(error)}); if it is one, make a WAV of "
                f"it: {remedy(self.name)}"
            ) from error

    def blocks(self) -> Iterator[Array]:
        channel = None
        if self.file.channels > 1:
            channel = lone_channel(self.decoded())
            self.file.close()
            self.file = self.decoder()
        start = 0
        for block in self.decoded():
            yield mono(block, self.name, start, self.rate, channel)
            start += len(block)
        if channel is not None:
            self.warnings.append(cancelling(channel))
        self.warnings += missing(self.file, self.stream, start)

    def decoded(self) -> Iterator[Array]:
        """float32 [n, channels]"""
        start = 0
        while True:
            try:
                block = self.file.read(BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{self.name}: cannot be decoded after {start / self.rate:.2f} s of {self.seconds:.2f} s "
                    f"({said(error)}); it is damaged or cut off; to save what there is: {remedy(self.name)}"
                ) from error
            if not len(block):
                return
            yield block
            start += len(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.stream.close()


def said(error: soundfile.SoundFileError) -> str:
    """libsndfile's own words, without the name that it was given."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").strip().rstrip(".")


def cancelling(channel: int) -> str:
    return f"the channels of the recording cancel each other out: channel {channel + 1} alone is heard"


def lone_channel(blocks: Iterable[Array]) -> int | None:
    """The loudest channel, if the mean of all is next to silent where they are not; None if it is not.

    The mean of n unrelated channels has an n-th of their power. No more is read than it takes to hear that the channels
    do not cancel each other out.
    """
    count, sums, squares = 0, np.zeros(1), np.zeros(1)
    with np.errstate(all="ignore"):  # what is no sound is refused later
        for block in blocks:
            heard = np.concatenate([block, block.mean(axis=1, keepdims=True)], axis=1).astype(np.float64)
            count, sums, squares = count + len(block), sums + heard.sum(axis=0), squares + np.square(heard).sum(axis=0)
            *powers, mean = squares / count - np.square(sums / count)
            share = CANCELLED * np.mean(powers)
            if mean * len(powers) >= share and np.mean(powers) > AUDIBLE:
                return None
        return int(np.argmax(powers)) if count and mean * len(powers) < share else None


def check_rate(rate: int, name: str) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{name}: sampled at {rate} Hz; rates from {RATES[0]} to {RATES[1]} Hz can be converted")


def mono(block: Array, name: str, start: int, rate: int, channel: int | None = None) -> Array:
    """The mean of the channels of a block that begins at sample `start`, or one of them: [n] or [n, channels] ->
    float32 [n].

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
    return block.mean(axis=1, dtype=np.float32) if channel is None else np.ascontiguousarray(block[:, channel])


class Resampler:
    """Brings a stream of blocks from one rate to another; in sum round(samples * target / rate) samples."""

    def __init__(self, rate: int, target: int) -> None:
        self.stream = None if rate == target else soxr.ResampleStream(rate, target, 1, dtype="float32", quality="VHQ")

    def push(self, block: Array, last: bool = False) -> Array:
        """float32 [n] -> float32 [m]; `last` gives out what is still inside."""
        return block if self.stream is None else self.stream.resample_chunk(block, last=last)
