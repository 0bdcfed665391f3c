"""How often which values occur, in memory that does not grow with what is seen."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from voxc.compiler.core.tensor import Array

BINS = 4096
#: Of a larger tensor, every so manieth value is counted; a rarer one hardly moves a range.
SAMPLE = 1 << 19
SMALLEST_EXPONENT = -120
LARGEST = 2.0**120


class NotFiniteError(Exception):
    """A tensor holds what is not a number, or too large to be one."""


class Histogram:
    """Counts of values in at most BINS bins of one width, a power of two; zero is on the edge of a bin.

    A value outside makes the bins merge in pairs until it fits, which loses no count, and would have been the same had
    it come first. Values are told from bins in float32: one in some thousands, at an edge, is counted next door. Of a
    tensor of more than `SAMPLE` values a sample is counted, each for all that it stands for.

    Attributes:
        low, high: the least and the largest value, and no further in than zero; exact.
        width: of a bin.
        first: the number of the first bin; bin `i` is from `i * width` to `(i + 1) * width`.
        counts: float64 [bins].
    """

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.exponent = SMALLEST_EXPONENT
        self.first = 0
        self.counts: Array = np.zeros(1)

    @property
    def width(self) -> float:
        return 2.0**self.exponent

    @property
    def edges(self) -> Array:
        """Where bins begin and end, float64 [bins + 1]."""
        return (self.first + np.arange(len(self.counts) + 1)) * self.width

    def observe(self, values: Tensor) -> None:
        """Counts float values of any shape. Raises NotFiniteError."""
        low, high = extent(values)
        self.widen(min(self.low, low), max(self.high, high))
        begin, end = self.first * self.width, (self.first + len(self.counts)) * self.width
        flat = values.detach().reshape(-1)
        step = max(1, flat.numel() // SAMPLE) | 1  # odd, so that it is in step with no row or channel
        counts = torch.histc(flat[::step].float(), len(self.counts), begin, end)
        self.counts += step * counts.double().numpy()

    def widen(self, low: float, high: float) -> None:
        """Makes room for values from `low` to `high`, which reach at least as far as those so far."""
        self.low, self.high = low, high
        exponent = self.exponent
        while bin_of(high, exponent) - bin_of(low, exponent) >= BINS:
            exponent += 1
        first = bin_of(low, exponent)
        bins = np.arange(self.first, self.first + len(self.counts)) >> min(exponent - self.exponent, 62)
        size = bin_of(high, exponent) + 1 - first
        self.counts = np.bincount(bins - first, self.counts, size)
        self.first, self.exponent = first, exponent

    def magnitudes(self) -> Array:
        """Counts of absolute values in bins of `width` from zero on, float64 [bins]."""
        above, below = self.counts[-self.first or 0 :], self.counts[: -self.first][::-1]
        folded = np.zeros(max(len(above), len(below)))
        folded[: len(above)] += above
        folded[: len(below)] += below
        return folded


def bin_of(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def extent(values: Tensor) -> tuple[float, float]:
    """The least and the largest value. Raises NotFiniteError."""
    low, high = (bound.item() for bound in torch.aminmax(values))
    if not (low > -LARGEST and high < LARGEST):
        raise NotFiniteError(f"values from {low:g} to {high:g}")
    return low, high
