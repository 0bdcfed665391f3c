"""The pitch contour of a recording: estimators, and what RVC makes of their output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import parselmouth

from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.voice import F0_RANGE, coarse_pitch
from voxc.compiler.runtime.audio import CONTENT_RATE
from voxc.compiler.runtime.scratch import Scratch

FRAME = 160  # samples at 16 kHz; frame i stands at sample 160 i
STEP = FRAME / CONTENT_RATE  # seconds
EDGES = (3, 2)  # frames at the ends of a sound for which Praat has no value
Progress = Callable[[float, float], None]  # done, in all: seconds of audio


class F0Estimator(Protocol):
    """Finds F0. A compiled network can be one: it sees 16 kHz audio and answers in Hz, 100 times a second."""

    def contour(self, audio: Scratch, first: int, count: int, progress: Progress) -> Array:
        """F0 in Hz of frames `first` ... `first + count - 1`, 0 where unvoiced, as float64 [count].

        Frame i stands at sample 160 i of `audio`; frames before its beginning and after its end are those of its
        reflection, which `audio.read` gives.
        """


@dataclass(frozen=True)
class Praat:
    """Praat's autocorrelation method (Boersma, 1993) with RVC's settings (its `pm`), in chunks of `chunk` frames.

    Two things in Praat look at the whole recording. A frame is silent by comparison with the recording's peak: a chunk
    is given a threshold that means the same with its own peak. And the path through the candidates of all frames is
    the cheapest one: chunks overlap by `overlap` frames on each side, by which time paths have long joined.
    """

    chunk: int = 6_000
    overlap: int = 200
    voicing_threshold: float = 0.6
    silence_threshold: float = 0.03

    def contour(self, audio: Scratch, first: int, count: int, progress: Progress) -> Array:
        if count <= self.chunk + 2 * self.overlap:
            return self.frames(audio, first, count, peak=None)
        pieces = []
        for start in range(first, first + count, self.chunk):
            end = min(start + self.chunk, first + count)
            before, after = max(first, start - self.overlap), min(first + count, end + self.overlap)
            found = self.frames(audio, before, after - before, audio.peak * audio.gain)
            pieces.append(found[start - before : end - before])
            progress((end - first) * STEP, count * STEP)
        return np.concatenate(pieces)

    def frames(self, audio: Scratch, first: int, count: int, peak: float | None) -> Array:
        """F0 of some frames, as Praat finds it in their samples alone; `peak` is that of the whole recording, None if
        these frames are all. The EDGES are unvoiced, as RVC has them."""
        samples = audio.read(FRAME * first, FRAME * placeable(count)).astype(np.float64)
        loudest = float(np.abs(samples - samples.mean()).max())
        if loudest == 0:
            return np.zeros(count)
        pitch = parselmouth.Sound(samples, CONTENT_RATE).to_pitch_ac(
            time_step=STEP,
            pitch_floor=F0_RANGE[0],
            pitch_ceiling=F0_RANGE[1],
            voicing_threshold=self.voicing_threshold,
            silence_threshold=self.silence_threshold * (1 if peak is None else peak / loudest),
        )
        return np.pad(pitch.selected_array["frequency"][: count - sum(EDGES)], EDGES)


def placeable(count: int) -> int:
    """The least number of frames, from `count` on, for which Praat puts its frames on multiples of 160 samples.

    Praat centres floor((duration - window) / step) + 1 frames in the sound, a window being three periods of the floor.
    The quotient is a whole number here but for rounding: where floating point falls short of it, Praat has one frame
    less, and all of them stand half a step off.
    """
    window = 3 / F0_RANGE[0]
    while True:
        quotient = (FRAME * count * (1 / CONTENT_RATE) - window) / STEP
        if math.floor(quotient) == round(quotient):
            return count
        count += 1


ESTIMATORS: dict[str, F0Estimator] = {"pm": Praat()}


@dataclass(frozen=True)
class Contour:
    """The pitch of a recording, frame by frame from frame `first` on.

    `hertz` float32 [n], transposed and interpolated, 0 only if nothing is voiced; `voiced` bool [n], where the
    estimator heard a pitch; `pitch` int64 [n], RVC's bins; `phase` float64 [n], the cycles that a sine which follows
    `hertz` has run through when each frame begins.
    """

    first: int
    hertz: Array
    voiced: Array
    pitch: Array
    phase: Array

    @classmethod
    def of(cls, estimated: Array, first: int, transpose: float) -> Contour:
        """The contour that RVC feeds to its synthesizer for an estimator's float64 [n] Hz.

        As in RVC, unvoiced frames get what lies between their voiced neighbours, and the edges hold the nearest. RVC
        then has no unvoiced frames left and its `protect` nothing to protect; here `voiced` remembers them.
        """
        voiced = estimated > 0
        exact = np.zeros(len(estimated))
        if voiced.any():
            frames = np.arange(len(estimated))
            exact = np.interp(frames, frames[voiced], estimated[voiced]) * 2 ** (transpose / 12)
        hertz = exact.astype(np.float32)
        cycles = hertz.astype(np.float64) * STEP
        return cls(first, hertz, voiced, coarse_pitch(exact), np.cumsum(cycles) - cycles)

    def window(self, start: int, frames: int, settle: int) -> tuple[Array, Array, Array]:
        """Hertz float32, pitch int64 and voiced bool of `frames` frames from frame `start` on, each [frames].

        A synthesizer's sine starts at phase 0 in every window. The frequency of the first `settle` frames is moved by
        as little as brings it in step with the sine that runs through the whole recording, at most 50 / settle Hz:
        what windows have in common then agrees, and they can be joined without a trace.
        """
        part = slice(start - self.first, start - self.first + frames)
        hertz = self.hertz[part].copy()
        if hertz.any():
            lag = self.phase[start - self.first]
            lag -= round(lag)
            hertz[:settle] += np.float32(lag / (settle * STEP))
        return hertz, self.pitch[part], self.voiced[part]
