"""Pitch: how a contour follows another.

Contours are by autocorrelation (Boersma, 1993), as Praat's, one value for each 10 ms, with the range and the voicing
threshold that RVC's `pm` uses, so that the compared contours are those that the synthesizer reads. In trials on real
speech in noise, higher floors gave more octave errors, which rule an RMSE.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from voxc.compiler.audio import autocorrelation
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.clips import Unmeasurable

STEP_SECONDS = 0.01
FLOOR_HZ, CEILING_HZ = autocorrelation.FLOOR, autocorrelation.CEILING
SILENCE_THRESHOLD, VOICING_THRESHOLD = 0.03, 0.6
LEAST_FRAMES = 10
#: Below this standard deviation a contour is a monotone, and a correlation would be that of the tracker's errors.
LEAST_DEVIATION_HZ = 0.1


def how() -> str:
    settings = f"{FLOOR_HZ:g} to {CEILING_HZ:g} Hz, voicing threshold {VOICING_THRESHOLD:g}"
    return f"autocorrelation as in Praat, {settings}, frames of 10 ms"


def contour(audio: Array) -> Array:
    """F0 in Hz [frames] float64 of 16 kHz audio, 0 where unvoiced; frames are 10 ms apart and centred in the audio."""
    return autocorrelation.contour(audio, SILENCE_THRESHOLD, VOICING_THRESHOLD)


@dataclass(frozen=True)
class Contours:
    """Two contours [frames] of the same audio length, in Hz, 0 where unvoiced."""

    reference: Array
    candidate: Array

    @classmethod
    def of(cls, pairs: Iterable[tuple[Array, Array]], transpose: float = 0) -> Contours:
        """The contours of pieces of 16 kHz audio, strung together; the reference's moved by `transpose` semitones."""
        contours = [(contour(reference), contour(candidate)) for reference, candidate in pairs]
        reference, candidate = (np.concatenate(column) for column in zip(*contours, strict=True))
        return cls(reference * 2 ** (transpose / 12), candidate)

    def voiced(self) -> tuple[Array, Array]:
        """Both, where both are voiced.

        Raises:
            Unmeasurable: that is almost nowhere.
        """
        both = (self.reference > 0) & (self.candidate > 0)
        if both.sum() < LEAST_FRAMES:
            raise Unmeasurable(f"{both.sum()} frames are voiced in both, fewer than {LEAST_FRAMES}")
        return self.reference[both], self.candidate[both]

    def correlation(self) -> float:
        """Pearson's, of Hz."""
        reference, candidate = self.voiced()
        if min(reference.std(), candidate.std()) < LEAST_DEVIATION_HZ:
            raise Unmeasurable("a pitch that does not move has no correlation")
        return float(np.corrcoef(reference, candidate)[0, 1])

    def rmse(self) -> float:
        """Root mean square difference in Hz."""
        reference, candidate = self.voiced()
        return float(np.sqrt(np.mean((reference - candidate) ** 2)))

    def rmse_cents(self) -> float:
        """Root mean square difference in cents, hundredths of a semitone."""
        reference, candidate = self.voiced()
        return float(np.sqrt(np.mean((1200 * np.log2(reference / candidate)) ** 2)))

    def voicing_error(self) -> float:
        """The share of frames that are voiced in one and not in the other."""
        reference, candidate = self.reference > 0, self.candidate > 0
        if not reference.any() and not candidate.any():
            raise Unmeasurable("no frame is voiced in either")
        return float(np.mean(reference != candidate))
