"""The pitch contour that RVC feeds to its synthesizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxc.compiler.audio.pitch import F0_RANGE, STEP
from voxc.compiler.core.tensor import Array


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


def coarse_pitch(hertz: Array) -> Array:
    """F0 in Hz as RVC's pitch bins: the mel scale between 50 and 1100 Hz in 1 ... 255, unvoiced as 1."""
    low, high = (1127 * np.log(1 + edge / 700) for edge in F0_RANGE)
    mel = 1127 * np.log(1 + hertz / 700)
    bins = np.where(mel > 0, (mel - low) * 254 / (high - low) + 1, 1)
    return np.rint(np.clip(bins, 1, 255)).astype(np.int64)
