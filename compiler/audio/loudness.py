"""Loudness mixing: the result takes on the loudness contour of the source, in part or whole.

RVC's measure is the root mean square over frames of a second, one each half second, zeros beyond the ends (as
`librosa.feature.rms` has it, frames centred), interpolated linearly over the whole result (as PyTorch's
`interpolate` does, corners not aligned). Frames are two half seconds each, so the energies of half seconds are all that
has to be kept of a signal.
"""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.tensor import Array

FLOOR = 1e-6  # of the result's own loudness


class Loudness:
    """Accumulates the energies of half seconds of a stream at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self.half = rate // 2
        self.energies: list[float] = []
        self.samples = 0

    def push(self, block: Array) -> None:
        """float32 [n]."""
        squares = np.square(block, dtype=np.float64)
        into = self.samples % self.half
        if into:
            self.energies[-1] += float(squares[: self.half - into].sum())
        rest = squares[-into % self.half :]
        if len(rest):
            self.energies += np.add.reduceat(rest, np.arange(0, len(rest), self.half)).tolist()
        self.samples += len(block)

    def contour(self) -> Array:
        """RMS at each half second: float64 [samples // half + 1]."""
        halves = np.zeros(self.samples // self.half + 2)
        halves[1 : len(self.energies) + 1] = self.energies
        return np.sqrt((halves[:-1] + halves[1:]) / (2 * self.half))


def stretched(contour: Array, start: int, count: int, samples: int) -> Array:
    """Samples `start` ... `start + count - 1` of `contour` stretched to `samples`: float64 [count]."""
    at = (np.arange(start, start + count) + 0.5) * (len(contour) / samples) - 0.5
    return np.interp(at, np.arange(len(contour)), contour)


def mixing_gain(source: Array, result: Array, own_share: float, start: int, count: int, samples: int) -> Array:
    """What samples `start` ... of the result, `samples` long, are multiplied by: float32 [count].

    `source` and `result` are RMS contours; `own_share` of the loudness stays the result's (RVC's `rms_mix_rate`).
    """
    theirs = stretched(source, start, count, samples)
    own = np.maximum(stretched(result, start, count, samples), FLOOR)
    return ((theirs / own) ** (1 - own_share)).astype(np.float32)
