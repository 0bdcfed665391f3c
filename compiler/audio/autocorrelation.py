"""Pitch by autocorrelation (Boersma, 1993), with the choices that Praat makes where the paper leaves them open.

A frame's autocorrelation, divided by that of its window, peaks at the periods that the frame may have. Each peak is a
candidate, as strong as it is high, beside the candidate of being unvoiced. The contour is the cheapest path through the
candidates of all frames, where jumps and changes of voicing cost.

Praat itself gives the same contour: the same frames are voiced, and all of speech agrees to a millionth. Importing it
would take 70 MB of memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np

from voxc.compiler.core.tensor import Array

RATE = 16_000  # Hz
FRAME = 160  # samples from one frame to the next
FLOOR, CEILING = 50.0, 1100.0  # Hz
PERIODS = 3  # of the floor in a window
OCTAVE_COST, JUMP_COST, VOICING_COST = 0.01, 0.35, 0.14

PERIOD = round(RATE / FLOOR)  # samples
HALF = PERIODS * PERIOD // 2 - 1  # of a window
WINDOW = 2 * HALF
CENTRE = slice(HALF - PERIOD // 2 - 1, HALF + PERIOD // 2 + 1)  # of a window: what its loudness is taken from
LAGS = HALF + 1  # those of which the window's own autocorrelation is known well enough
LONGEST = WINDOW // PERIODS + 2  # lag of a candidate
TRANSFORM = 2048  # samples, at least a window and the longest lag
CANDIDATES = math.floor(CEILING / FLOOR)  # of a frame, the unvoiced one among them
BLOCK = 128  # frames at a time

DEPTH = 70  # lags on each side that a value between two lags is interpolated from
ROUGH_DEPTH = 30
DEGREE = 16  # of the polynomial that stands for the interpolation between two lags
GRID = np.linspace(-1, 1, 17)
REACH = GRID[1] - GRID[0]


def contour(samples: Array, silence_threshold: float, voicing_threshold: float) -> Array:
    """F0 in Hz, float64 [frames], of samples [n] at 16 kHz, 0 where unvoiced.

    Frames are FRAME samples apart, as many as have room for a window, and stand in the middle of the samples. The
    thresholds are of a frame's loudness relative to the loudest sample, and of a peak's height.
    """
    samples = samples.astype(np.float64)
    frames, rest = divmod(len(samples) - PERIODS * PERIOD, FRAME)
    if frames < 0:
        return np.zeros(0)
    before = (PERIODS * PERIOD + rest + 1) // 2 + FRAME * np.arange(frames + 1)  # samples before the middle of each
    loudest = float(np.abs(samples - samples.mean()).max())
    if loudest == 0:
        return np.zeros(len(before))
    parts = list(zip(*candidates(samples, before, voicing_threshold), strict=True))
    hertz, strength, loudness = (np.concatenate(part) for part in parts)
    quiet = 2 - np.minimum(1, loudness / loudest) * (1 + voicing_threshold) / silence_threshold
    return cheapest_path(hertz, strength, voicing_threshold + np.maximum(0, quiet))


def candidates(samples: Array, before: Array, voicing_threshold: float) -> Iterator[tuple[Array, Array, Array]]:
    """Candidates in Hz and their strengths, float64 [frames, CANDIDATES], and loudnesses [frames], block by block.

    The first candidate is the unvoiced one, and those of no strength (-inf) are none.
    """
    periods = np.lib.stride_tricks.sliding_window_view(samples, 2 * PERIOD)
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)
    shape, own = window_and_own()
    for start in range(0, len(before), BLOCK):
        at = before[start : start + BLOCK]
        frames = (windows[at - HALF] - periods[at - PERIOD].mean(1, keepdims=True)) * shape
        loudness = np.abs(frames[:, CENTRE]).max(1)
        correlation = autocorrelation(frames)
        energy = correlation[:, :1] * own
        correlation = np.divide(correlation, energy, out=np.zeros_like(energy), where=loudness[:, None] > 0)
        yield *peaks(correlation, voicing_threshold), loudness


@cache
def window_and_own() -> tuple[Array, Array]:
    """The window [WINDOW], and its autocorrelation relative to that at lag 0 [LAGS]."""
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, WINDOW + 1) / (WINDOW + 1))
    own = autocorrelation(shape)
    return shape, own / own[0]


def autocorrelation(frames: Array) -> Array:
    """[..., WINDOW] -> [..., LAGS]."""
    spectrum = np.fft.rfft(frames, TRANSFORM)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, TRANSFORM)[..., :LAGS]


def peaks(correlation: Array, voicing_threshold: float) -> tuple[Array, Array]:
    """Candidates and strengths of frames whose autocorrelations [frames, LAGS] are 1 at lag 0."""
    inside = correlation[:, 2:LONGEST]
    high = (inside > 0.5 * voicing_threshold) & (inside > correlation[:, 1 : LONGEST - 1])
    frame, lag = np.nonzero(high & (inside >= correlation[:, 3 : LONGEST + 1]))
    lag += 2
    both = np.concatenate([correlation[:, :0:-1], correlation], axis=1)  # from the lag -HALF on
    kept = strongest(both, frame, lag)
    frame, lag = frame[kept], lag[kept]
    period, height = summits(both, frame, lag)
    place = 1 + np.arange(len(frame)) - np.searchsorted(frame, frame)
    hertz, strength = np.zeros((len(correlation), CANDIDATES)), np.full((len(correlation), CANDIDATES), -np.inf)
    hertz[frame, place] = RATE / period
    strength[frame, place] = folded(height)
    strength[:, 0] = 0
    return hertz, strength


def folded(height: Array) -> Array:
    """The height of a peak as a strength: what exceeds 1 is as far from a period as what falls short of it."""
    return np.where(height > 1, 1 / height, height)


def strongest(both: Array, frame: Array, lag: Array) -> Array:
    """Which peaks stay, bool [peaks]: no more of a frame than there are CANDIDATES. Their heights are rough yet."""
    kept = np.ones(len(frame), bool)
    counts = np.bincount(frame, minlength=len(both))
    for crowded in np.nonzero(counts >= CANDIDATES)[0]:
        here = np.nonzero(frame == crowded)[0]
        before, at, after = (both[crowded, HALF + lag[here] + by] for by in (-1, 0, 1))
        period = lag[here] + 0.5 * (after - before) / (2 * at - before - after)
        rows = np.full(len(here), crowded)
        whole = np.floor(period).astype(np.int64)
        height = (taps(both, rows, whole, ROUGH_DEPTH) * interpolation(period - whole, ROUGH_DEPTH)).sum(1)
        worth = folded(height) - OCTAVE_COST * np.log2(FLOOR * period / RATE)
        stay = list(range(CANDIDATES - 1))
        for place in range(CANDIDATES - 1, len(here)):
            weakest = min(stay, key=lambda each: worth[each])
            if worth[place] > worth[weakest]:
                stay[stay.index(weakest)] = place
        kept[here] = False
        kept[here[stay]] = True
    return kept


def summits(both: Array, frame: Array, lag: Array) -> tuple[Array, Array]:
    """Where the interpolated autocorrelation is largest within a sample of the `lag` of a peak, and how large: of both
    intervals the best of a grid, and from there by Newton's method."""
    sides = [taps(both, frame, whole, DEPTH) for whole in (lag - 1, lag)]
    polynomials = np.concatenate(sides)[:, None] @ polynomial_of_taps()  # products so small that BLAS takes one thread
    coefficients = polynomials[:, 0].T  # [DEGREE + 1, 2 * peaks]
    slopes = coefficients[1:] * np.arange(1, DEGREE + 1)[:, None]
    bends = slopes[1:] * np.arange(1, DEGREE)[:, None]
    at = GRID[(polynomials @ GRID ** np.arange(DEGREE + 1)[:, None])[:, 0].argmax(1)]
    for _ in range(4):
        slope, bend = horner(slopes, at), horner(bends, at)
        move = np.divide(-slope, bend, out=np.zeros_like(at), where=bend < 0)
        at = np.clip(at + np.clip(move, -REACH, REACH), -1, 1)
    heights = horner(coefficients, at).reshape(2, -1)
    right = heights[1] >= heights[0]
    periods = np.stack([lag - 1, lag]) + (at.reshape(2, -1) + 1) / 2
    return np.where(right, periods[1], periods[0]), np.where(right, heights[1], heights[0])


def horner(coefficients: Array, at: Array) -> Array:
    """Polynomials [degree + 1, n], the constants first, at [n]."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * at + coefficient
    return value


def taps(both: Array, frame: Array, lag: Array, depth: int) -> Array:
    """The autocorrelation at the 2 * `depth` lags around what lies between `lag` and the next: [peaks, 2 * depth]."""
    return both[frame[:, None], HALF + lag[:, None] + np.arange(1 - depth, depth + 1)]


def interpolation(fraction: Array, depth: int) -> Array:
    """What `taps` are multiplied by to interpolate at a `fraction` of a lag [n], in the open interval from 0 to 1:
    sinc under a raised cosine that ends a lag beyond them. [n, 2 * depth]."""
    distance = fraction[:, None] - np.arange(1 - depth, depth + 1)
    end = np.where(distance > 0, depth + fraction[:, None], depth + 1 - fraction[:, None])
    return np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / end))


@cache
def polynomial_of_taps() -> Array:
    """From taps to the coefficients of a polynomial in -1 ... 1 for the interval between two lags, exact at Chebyshev's
    nodes: [2 * DEPTH, DEGREE + 1]."""
    nodes = np.cos(np.pi * (np.arange(DEGREE + 1) + 0.5) / (DEGREE + 1))
    powers = nodes[:, None] ** np.arange(DEGREE + 1)
    return np.linalg.solve(powers, interpolation((nodes + 1) / 2, DEPTH)).T.copy()


def cheapest_path(hertz: Array, strength: Array, unvoiced: Array) -> Array:
    """F0 [frames] by the path through `hertz` and `strength` [frames, candidates], where being unvoiced is as good as a
    candidate of the strength `unvoiced` [frames]."""
    voiced = (hertz > 0) & (hertz < CEILING)
    octaves = np.log2(np.where(voiced, hertz, CEILING))
    worth = strength - OCTAVE_COST * (math.log2(CEILING) - octaves)
    worth = np.where(voiced, worth, np.where(np.isfinite(strength), unvoiced[:, None], -np.inf))
    origin = np.zeros(hertz.shape, np.int64)
    best = worth[0]
    for frame in range(1, len(hertz)):
        jump = JUMP_COST * np.abs(octaves[frame - 1][:, None] - octaves[frame])
        both, change = voiced[frame - 1][:, None] & voiced[frame], voiced[frame - 1][:, None] ^ voiced[frame]
        total = best[:, None] - jump * both - VOICING_COST * change
        origin[frame] = total.argmax(0)
        best = total.max(0) + worth[frame]
    path = np.zeros(len(hertz))
    choice = int(best.argmax())
    for frame in range(len(hertz) - 1, -1, -1):
        path[frame] = hertz[frame, choice] * voiced[frame, choice]
        choice = int(origin[frame, choice])
    return path
