"""How well a result follows the pitch of its source: correlations, and gross errors counted apart.

Praat sometimes reads an octave wrongly, more often the wider the range it looks in, and one such reading outweighs
hundreds of good ones in a correlation. So there are three: over all frames, as read in RVC's range; the same without
gross errors (more than 20 % off: Rabiner et al., 1976), whose share is told beside it; and over all frames again, each
voice read in a range of its own, found in two passes (De Looze and Hirst, 2008).
"""

from __future__ import annotations

import numpy as np
from pitch import HOP, read_f0

from voxc.compiler.measure.quality.f0 import Contours

GROSS = 0.2
OWN_RANGE = 0.75, 1.5  # of the lower and of the upper quartile of the first pass: where the second looks

Pair = tuple[np.ndarray, np.ndarray]  # source and result, float [samples] at 16 kHz, of one length


def melody(pairs: list[Pair], transpose: float) -> dict[str, float]:
    """Of all sentences together, and the median over sentences; the source moved by `transpose` semitones."""
    contours = Contours.of(pairs, transpose)
    good = without_gross_errors(contours)
    own = in_own_ranges(pairs, transpose)
    fine = 1200 * np.log2(good.candidate / good.reference)
    return {
        "f0_correlation_median": round(float(np.median([Contours.of([p], transpose).correlation() for p in pairs])), 3),
        "f0_correlation_pooled": round(contours.correlation(), 3),
        "f0_correlation_without_gross": round(good.correlation(), 3),
        "f0_correlation_own_range": round(own.correlation(), 3),
        "f0_gross_errors": gross_share(contours),
        "f0_gross_errors_own_range": gross_share(own),
        "f0_fine_error_cents": round(float(np.std(fine)), 1),
        "f0_rmse_hz": round(contours.rmse(), 1),
        "voicing_error": round(contours.voicing_error(), 3),
    }


def without_gross_errors(contours: Contours) -> Contours:
    """Only the frames that are voiced in both and no gross errors."""
    wanted, found = contours.voiced()
    good = ~is_gross(wanted, found)
    return Contours(wanted[good], found[good])


def gross_share(contours: Contours) -> float:
    return round(float(is_gross(*contours.voiced()).mean()), 4)


def is_gross(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.abs(np.log2(found / wanted)) > np.log2(1 + GROSS)


def in_own_ranges(pairs: list[Pair], transpose: float) -> Contours:
    sources, results = zip(*pairs, strict=True)
    return Contours(second_pass(sources) * 2 ** (transpose / 12), second_pass(results))


def second_pass(audio: tuple[np.ndarray, ...]) -> np.ndarray:
    """The contours of one voice's sentences, strung together, read where that voice speaks."""
    first = np.concatenate([read_f0(one, len(one) // HOP) for one in audio])
    low, high = np.percentile(first[first > 0], (25, 75)) * OWN_RANGE
    return np.concatenate([read_f0(one, len(one) // HOP, low, high) for one in audio])
