"""Estimators of the fundamental frequency of a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from voxc.compiler.audio import autocorrelation
from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import CONTENT_RATE
from voxc.compiler.core.tensor import Array

FRAME = autocorrelation.FRAME  # samples at 16 kHz; frame i stands at sample 160 i
STEP = FRAME / CONTENT_RATE  # seconds
F0_RANGE = (autocorrelation.FLOOR, autocorrelation.CEILING)  # Hz
EDGES = (3, 2)  # frames at the ends of a sound that have no room for a window
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
        """F0 of some frames, by their samples alone; `peak` is that of the whole recording, None if
        these frames are all. The EDGES are unvoiced, as RVC has them."""
        samples = audio.read(FRAME * first, FRAME * count).astype(np.float64)
        loudest = float(np.abs(samples - samples.mean()).max())
        if loudest == 0:
            return np.zeros(count)
        silence_threshold = self.silence_threshold * (1 if peak is None else peak / loudest)
        return np.pad(autocorrelation.contour(samples, silence_threshold, self.voicing_threshold), EDGES)[:count]


DEFAULT = "pm"
ESTIMATORS: dict[str, F0Estimator] = {DEFAULT: Praat()}
