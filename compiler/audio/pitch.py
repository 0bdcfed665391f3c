"""Estimators of the fundamental frequency of a recording."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import parselmouth

from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import CONTENT_RATE
from voxc.compiler.core.tensor import Array

FRAME = 160  # samples at 16 kHz; frame i stands at sample 160 i
STEP = FRAME / CONTENT_RATE  # seconds
F0_RANGE = (50.0, 1100.0)  # Hz
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
