"""The recordings of a bundle, and pictures of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from voxc.compiler.audio.sound import SoundFile
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import AudioError, BundleError
from voxc.compiler.core.tensor import Array
from voxc.compiler.manifest import FileRecord
from voxc.compiler.measure.quality import f0
from voxc.compiler.measure.quality.clips import SPEECH_RATE, Clip
from voxc.compiler.report.needs import load

MOST_SECONDS = 31.0  # bundles hold at most 30 s of a recording
MOST_BYTES = 1 << 24
#: 32 ms windows show the harmonics of speech and still its syllables.
WINDOW = 512
MOST_COLUMNS = 1000
LOUDNESS_RANGE_DB = 80.0
#: Praat needs three periods of its lowest pitch.
LEAST_SECONDS = 3 / f0.FLOOR_HZ
PITCH_TICKS = (50, 70, 100, 150, 200, 300, 400, 600, 800, 1100)
LEAST_TICK_GAP = 0.2  # of the height
TIME_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
MOST_TIME_TICKS = 8


@dataclass(frozen=True)
class Sound:
    """A recording of a bundle: `title` and `caption` say what it is, `clip` has its samples, `flac` the file.

    `contour` is Praat's F0 in Hz [frames], 0 where unvoiced, in frames of 10 ms that are centred in the recording;
    `guide` is the sound whose contour it should follow, shifted to the requested pitch; None if there is none.
    """

    title: str
    caption: str
    clip: Clip
    flac: bytes
    contour: Array
    guide: Sound | None = None

    @classmethod
    def read(cls, bundle: Bundle, file: FileRecord, title: str, caption: str) -> Sound:
        """Raises BundleError for a file that is not what the manifest says, or not a recording of a bundle's kind."""
        complaint = bundle.complaint(file)
        if complaint is not None:
            raise BundleError(f"{complaint}; compile the voice again")
        path = bundle.path(file)
        if file.bytes > MOST_BYTES:
            raise BundleError(f"{path}: larger than the {MOST_BYTES >> 20} MiB that fit on a page")
        try:
            with SoundFile(path) as recording:
                if recording.file.format != "FLAC":
                    raise BundleError(f"{path}: is {recording.file.format}; the recordings of bundles are FLAC")
                samples = first_seconds(recording)
                clip = Clip(title, samples, recording.rate)
        except AudioError as error:
            raise BundleError(f"{error}; compile the voice again") from error
        contour = f0.contour(speech(clip)) if clip.seconds > LEAST_SECONDS else np.zeros(0)
        return cls(title, caption, clip, path.read_bytes(), contour)

    def following(self, source: Sound, semitones: float) -> Sound:
        """The same, beside the source's contour, moved."""
        return replace(self, guide=replace(source, contour=source.contour * 2 ** (semitones / 12)))

    @property
    def uri(self) -> str:
        return data_uri("audio/flac", self.flac)

    @property
    def pitch_caption(self) -> str:
        voiced = self.contour[self.contour > 0]
        if not voiced.size:
            return "no pitch"
        return (
            f"median pitch {np.median(voiced):.0f} Hz, voiced {100 * voiced.size / self.contour.size:.0f} % of the time"
        )

    def spectrogram(self) -> str:
        """A data URI of a PNG: time to the right, 0 to 8000 Hz upwards, LOUDNESS_RANGE_DB below the loudest point."""
        levels = decibels(speech(self.clip))
        image = io.BytesIO()
        load("matplotlib.image").imsave(
            image, levels, vmin=-LOUDNESS_RANGE_DB, vmax=0, cmap="magma", origin="lower", format="png"
        )
        return data_uri("image/png", image.getvalue())

    def time_ticks(self) -> list[tuple[float, float]]:
        """Seconds, and where they stand in percent of the width."""
        seconds = self.clip.seconds
        step = next((step for step in TIME_STEPS if seconds / step <= MOST_TIME_TICKS), TIME_STEPS[-1])
        return [(float(at), float(100 * at / seconds)) for at in np.arange(0, seconds, step)]


def first_seconds(recording: SoundFile) -> Array:
    """The samples, float32 [n]. Raises AudioError for none, or for more than a bundle has."""
    blocks: list[Array] = []
    for block in recording.blocks():
        blocks.append(block)
        if sum(map(len, blocks)) > MOST_SECONDS * recording.rate:
            raise AudioError(f"{recording.name}: longer than {MOST_SECONDS:g} s")
    if not blocks:
        raise AudioError(f"{recording.name}: holds no samples")
    return np.concatenate(blocks)


def speech(clip: Clip) -> Array:
    return clip.speech(0, clip.seconds)


def decibels(audio: Array) -> Array:
    """Levels [frequencies, columns] of 16 kHz audio, relative to the highest, in steps of 2 dB for a smaller PNG."""
    hop = max(WINDOW // 8, -(-audio.size // MOST_COLUMNS))
    padded = np.pad(audio.astype(np.float32), WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1).T) ** 2
    quietest = 10 ** (-LOUDNESS_RANGE_DB / 10)
    return 2 * np.round(5 * np.log10(np.maximum(power / max(power.max(), 1e-12), quietest)))


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class PitchAxis:
    """The pitches that all curves of a page are drawn between, in Hz, on a logarithmic scale."""

    low: float
    high: float

    @classmethod
    def of(cls, sounds: Sequence[Sound]) -> PitchAxis:
        drawn = [*sounds, *(sound.guide for sound in sounds if sound.guide is not None)]
        voiced = np.concatenate([np.zeros(0), *(sound.contour[sound.contour > 0] for sound in drawn)])
        if not voiced.size:
            return cls(f0.FLOOR_HZ, f0.CEILING_HZ)
        return cls(float(voiced.min()) / 1.1, float(voiced.max()) * 1.1)

    def height(self, hertz: Array | float) -> Array:
        """From the top, 0 to 100."""
        return 100 * (1 - np.log(np.asarray(hertz) / self.low) / np.log(self.high / self.low))

    def ticks(self) -> list[tuple[int, float]]:
        """Hz, and where they stand from the top in percent; not closer than can be read."""
        chosen: list[tuple[int, float]] = []
        for hertz in PITCH_TICKS:
            if self.low <= hertz <= self.high:
                at = float(self.height(hertz))
                if not chosen or chosen[-1][1] - at > 100 * LEAST_TICK_GAP:
                    chosen.append((hertz, at))
        return chosen

    def path(self, sound: Sound, seconds: float) -> str:
        """The curve of a sound's contour as an SVG path, 1000 for `seconds` wide, 100 high, broken where unvoiced."""
        contour = sound.contour
        begin = (sound.clip.seconds - (contour.size - 1) * f0.STEP_SECONDS) / 2
        across = 1000 * (begin + f0.STEP_SECONDS * np.arange(contour.size)) / seconds
        voiced = np.concatenate([[False], contour > 0, [False]])
        edges = np.flatnonzero(voiced[1:] != voiced[:-1])
        runs = [slice(start, end) for start, end in pairwise(edges)][::2]
        return " ".join("M" + " ".join(self.points(across[run], contour[run])) for run in runs)

    def points(self, across: Array, hertz: Array) -> list[str]:
        points = [f"{x:.1f},{y:.1f}" for x, y in zip(across, self.height(hertz), strict=True)]
        return points if len(points) > 1 else points * 2  # a round line cap makes a dot of no length


def spectrogram_ticks() -> list[tuple[int, float]]:
    """kHz, and where they stand from the top in percent."""
    top = SPEECH_RATE // 2000
    return [(kilohertz, 100 * (1 - kilohertz / top)) for kilohertz in range(0, top + 1, 2)]
