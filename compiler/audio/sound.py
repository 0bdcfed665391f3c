"""Recordings in and out: what libsndfile reads, as mono blocks; what it writes, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, Self

import soundfile
import soxr

from voxc.compiler.audio.channels import Mixer
from voxc.compiler.audio.wav_header import declared_seconds
from voxc.compiler.core.errors import AudioError, OutputError
from voxc.compiler.core.file_kind import HEAD_BYTES, foreign_kind
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.whole_file import whole_file

CONTENT_RATE = 16_000  # Hz, what content encoders and F0 estimators hear
BLOCK = 1 << 16  # samples
RATES = (4_000, 768_000)  # Hz
PIPE_BYTES = 8 << 30
LEAST_MISSING, LEAST_MISSING_SHARE = 0.05, 0.01  # seconds, and of all, below which a missing end is padding of a codec
TO_WAV = "make a WAV file of it first, such as with: ffmpeg -i IN OUT.wav"
WAV_LIMIT = (1 << 32) - (1 << 16)  # bytes of samples; RIFF counts in 32 bits
WRITTEN = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


class Recording(Protocol):
    """Audio to convert, by a name for messages, at `rate` Hz; `seconds` is what its header says, for progress.
    `warnings` are about what came out of its blocks."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def warnings(self) -> list[str]: ...

    def blocks(self) -> Iterator[Array]:
        """Mono float32 [n]. Raises AudioError for what cannot be decoded, and for samples that are no sound."""
        ...


@dataclass(frozen=True)
class SoundArray:
    """A recording in memory: float [samples] or [samples, channels], full scale 1."""

    samples: Array
    rate: int
    name: str = "audio"
    warnings: list[str] = field(default_factory=list)

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
        mixer = Mixer(self.name, self.rate, self.warnings)
        for start in range(0, len(self.samples), BLOCK):
            yield mixer.mix(self.samples[start : start + BLOCK])


class SoundFile:
    """A file of any format, rate and number of channels that libsndfile reads; of a pipe, a copy.

    `warnings` is complete once all blocks have been read.
    """

    def __init__(self, path: Path) -> None:
        """Raises AudioError: there is no such file, or no audio in it."""
        self.name = str(path)
        self.warnings: list[str] = []
        if path.is_dir():
            raise AudioError(f"{path}: is a directory; give one recording")
        try:
            self.stream = seekable(path)
            head = self.stream.read(HEAD_BYTES)
            self.stream.seek(0)
            declared = declared_seconds(self.stream)
            self.stream.seek(0)
        except OSError as error:
            raise AudioError(f"{path}: cannot be read ({error.strerror or error})") from error
        if not head:
            raise AudioError(f"{path}: is an empty file")
        try:
            self.file = soundfile.SoundFile(self.stream)
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless formats
            self.stream.close()
            raise AudioError(f"{path}: {what_else(head, error)}") from error
        self.rate = int(self.file.samplerate)
        self.seconds = self.file.frames / self.rate
        self.declared = max(self.seconds, declared or 0.0)
        check_rate(self.rate, self.name)

    def blocks(self) -> Iterator[Array]:
        mixer = Mixer(self.name, self.rate, self.warnings)
        while True:
            try:
                block = self.file.read(BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{self.name}: cannot be decoded after {mixer.start / self.rate:.2f} s ({error}); "
                    "it is damaged or cut off: copy it again"
                ) from error
            if not len(block):
                break
            yield mixer.mix(block)
        seconds = mixer.start / self.rate
        if self.declared - seconds > max(LEAST_MISSING, LEAST_MISSING_SHARE * self.declared):
            missing = (1 - seconds / self.declared) * 100
            self.warnings.append(
                f"{self.name}: ends after {seconds:.2f} s, and says that it has {self.declared:.2f} s: {missing:.0f} % "
                "of it is missing; was it copied to its end?"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.stream.close()


def seekable(path: Path) -> IO[bytes]:
    """The file, or a temporary copy of what comes out of a pipe.

    Raises:
        OSError: it cannot be read, or a pipe gives more than PIPE_BYTES.
    """
    stream = path.open("rb")
    if stream.seekable():
        return stream
    with stream:
        copy = tempfile.TemporaryFile()  # noqa: SIM115, the caller closes it
        while block := stream.read(1 << 20):
            copy.write(block)
            if copy.tell() > PIPE_BYTES:
                copy.close()
                raise OSError(f"a pipe that gives more than {PIPE_BYTES >> 30} GiB")
        copy.seek(0)
        return copy


def what_else(head: bytes, error: Exception) -> str:
    """What a file is that libsndfile does not read, and what to do."""
    if head[4:8] == b"ftyp":
        return f"an MPEG-4 file (m4a, mp4), which is not read; {TO_WAV}"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return f"a Matroska or WebM file, which is not read; {TO_WAV}"
    foreign = foreign_kind(head)
    return foreign or f"not a recording that libsndfile reads ({str(error).rpartition(': ')[2]}); {TO_WAV}"


def check_rate(rate: int, name: str) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{name}: sampled at {rate} Hz; rates from {RATES[0]} to {RATES[1]} Hz can be converted")


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
            partial.open("w+b") as stream,
            soundfile.SoundFile(stream, "w", rate, 1, coding, format=form) as file,
        ):
            for block in blocks:
                file.write(block)
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{output}: cannot be written, is the disk full? ({error})") from error
