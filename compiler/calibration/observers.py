"""Observers: each watches a tensor over many calls and says which range 8-bit integers should cover.

Every range contains zero, which padding and rectifiers need exactly, and is fit for affine grids as for symmetric ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from torch import Tensor

from voxc.compiler.calibration.histogram import Histogram, extent
from voxc.compiler.core.plan import Range
from voxc.compiler.core.recipe import Observer as ObserverName
from voxc.compiler.core.tensor import Array


class Observer(ABC):
    """What is known of one tensor."""

    @abstractmethod
    def observe(self, values: Tensor) -> None:
        """Takes in float values of any shape. Raises NotFiniteError."""

    @abstractmethod
    def range(self) -> Range:
        """The range worth covering; (0, 0) if nothing was observed."""


class MinMax(Observer):
    """Everything that was seen: nothing is clipped, and one outlier makes the steps coarse."""

    def __init__(self) -> None:
        self.low = self.high = 0.0

    def observe(self, values: Tensor) -> None:
        low, high = extent(values)
        self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self) -> Range:
        return self.low, self.high


class HistogramObserver(Observer):
    """An observer that decides by a histogram of all that it saw."""

    def __init__(self) -> None:
        self.histogram = Histogram()

    def observe(self, values: Tensor) -> None:
        self.histogram.observe(values)


class Percentile(HistogramObserver):
    """All but a share of the values, cut off in equal parts at both ends."""

    SHARE: ClassVar[float] = 1e-4

    def range(self) -> Range:
        seen = self.histogram
        passed = np.concatenate([[0], np.cumsum(seen.counts)])
        cut = self.SHARE / 2 * passed[-1]
        low, high = np.interp([cut, passed[-1] - cut], passed, seen.edges)
        return max(seen.low, min(float(low), 0.0)), min(seen.high, max(float(high), 0.0))


class Entropy(HistogramObserver):
    """The threshold that loses the least information, by the Kullback-Leibler divergence, as TensorRT's calibrator
    finds it: of the magnitudes, as clipped, from what is left of them on 128 levels. It is applied to both signs.

    Zeros are exact on every grid and would outweigh all else where a tensor is padded or rectified, so that the first
    bin counts as its neighbour does.
    """

    LEVELS: ClassVar[int] = 128
    CANDIDATES: ClassVar[int] = 128
    LEAST_COUNT: ClassVar[float] = 1e-4

    def range(self) -> Range:
        seen = self.histogram
        counts = seen.magnitudes()
        sizes = np.unique(np.linspace(min(self.LEVELS, len(counts)), len(counts), self.CANDIDATES).astype(int))
        counts[:1] = counts[1:2] if len(counts) > 1 else counts[:1]
        lost = [self.divergence(counts, size) for size in sizes]
        threshold = int(sizes[np.argmin(lost)]) * seen.width
        return max(seen.low, -threshold), min(seen.high, threshold)

    def divergence(self, counts: Array, size: int) -> float:
        """Of the counts, clipped to `size` bins, from what is within, spread evenly over the occupied bins of each
        level; LEAST_COUNT stands for none.

        What is clipped is missing from the second, which is therefore not brought to a sum of one: else most would be
        gained by clipping almost everything.
        """
        kept = counts[:size]
        clipped = kept.copy()
        clipped[-1] += counts[size:].sum()
        occupied = clipped > 0
        starts = np.unique(np.arange(self.LEVELS) * size // self.LEVELS)
        per_level = np.add.reduceat(kept, starts) / np.maximum(np.add.reduceat(occupied, starts, dtype=float), 1)
        spread = np.maximum(np.repeat(per_level, np.diff(starts, append=size))[occupied], self.LEAST_COUNT)
        clipped = clipped[occupied]
        return float(clipped @ np.log(clipped / spread) + spread.sum() - clipped.sum())


class MeanSquaredError(HistogramObserver):
    """The range whose 8-bit affine grid is nearest to the values in the mean square, clipped ones included.

    Values are taken to lie evenly within their bin, which gives the error of a grid in closed form. The ends are
    sought first in proportion to what was seen, then one by one in ever smaller steps.
    """

    STEPS: ClassVar[int] = 255
    SMALLEST: ClassVar[float] = 2.0**-10
    REACHES: ClassVar[tuple[float, ...]] = (4.0, 1.5, 1.1)

    def range(self) -> Range:
        seen = self.histogram
        full = np.array([seen.low, seen.high])
        if not full.any():
            return 0.0, 0.0
        best = self.nearest(full * np.geomspace(1, self.SMALLEST, 64)[:, np.newaxis])
        for reach in self.REACHES:
            for end in np.flatnonzero(full):
                candidates = np.tile(best, (34, 1))
                candidates[1:-1, end] *= np.geomspace(1 / reach, reach, 32)
                candidates[-1, end] = 0 if best[1 - end] else best[end]
                best = self.nearest(np.clip(candidates, seen.low, seen.high))
        return float(best[0]), float(best[1])

    def nearest(self, ranges: Array) -> Array:
        """The best of `ranges` [n, 2], as [2]; the first of equals."""
        return ranges[np.argmin(self.errors(ranges))]

    def errors(self, ranges: Array) -> Array:
        """The squared error of all values together on the grids of `ranges`, float64 [n, 2] -> [n].

        Up to `x`, the integral of the squared distance to the nearest of the grid's points, which are multiples `k` of
        a step `s`, is `k s^3 / 12 + (x - k s)^3 / 3`, also where the grid has ended. The sum over bins of their
        density times the difference between their edges is sorted by edges.
        """
        step = (ranges[:, 1] - ranges[:, 0])[:, np.newaxis] / self.STEPS
        return self.errors_of(step, np.rint(ranges[:, :1] / step))

    def errors_of(self, step: Array, least: Array) -> Array:
        """The same of grids that begin `least` steps from zero, float64 [n, 1] each -> [n]."""
        edges = self.histogram.edges
        widths = np.diff(edges)
        density = np.divide(self.histogram.counts, widths, out=np.zeros(len(widths)), where=widths > 0)
        weights = -np.diff(density, prepend=0, append=0)
        points = np.clip(np.rint(edges / step), least, least + self.STEPS)
        beyond = edges - points * step
        return (points * (step * step * step / 12) + beyond * beyond * beyond / 3) @ weights


class SymmetricMeanSquaredError(MeanSquaredError):
    """The same for grids whose zero lies in the middle: the largest magnitude is 127 steps, whatever its sign."""

    LIMIT: ClassVar[int] = 127

    def range(self) -> Range:
        seen = self.histogram
        full = max(-seen.low, seen.high)
        if not full:
            return 0.0, 0.0
        best = self.best(full * np.geomspace(1, self.SMALLEST, 64))
        for reach in self.REACHES:
            best = self.best(np.minimum(np.append(best, best * np.geomspace(1 / reach, reach, 33)), full))
        return max(seen.low, -best), min(seen.high, best)

    def best(self, magnitudes: Array) -> float:
        """The best of the largest magnitudes [n]; the first of equals."""
        step = magnitudes[:, np.newaxis] / self.LIMIT
        return float(magnitudes[np.argmin(self.errors_of(step, np.full_like(step, -self.LIMIT - 1)))])


OBSERVERS: Mapping[ObserverName, Callable[[], Observer]] = {
    "minmax": MinMax,
    "percentile": Percentile,
    "entropy": Entropy,
    "mse": MeanSquaredError,
}

#: Those that look for the best grid, where it is symmetric.
SYMMETRIC_OBSERVERS: Mapping[ObserverName, Callable[[], Observer]] = {"mse": SymmetricMeanSquaredError}
