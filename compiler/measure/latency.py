"""How long runs take, contenders timed in turn so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP_RUNS = 2
MOST_RUNS = 20
MOST_SECONDS = 5.0
#: Timing ends earlier where the median is known well enough: the width of its confidence interval, relative to it.
SETTLED = 0.05
SETTLED_RUNS, SETTLED_SECONDS = 6, 0.5
# Runtimes keep their threads spinning for a moment after a run; the next contender must not pay for it.
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Latency:
    """Wall-clock seconds of single runs."""

    seconds: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        return float(np.percentile(self.seconds, percent))

    @property
    def median(self) -> float:
        return self.percentile(50)

    @property
    def least(self) -> float:
        return min(self.seconds)


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    most_runs: int | None = None,
    most_seconds: float | None = None,
    settled: float = 0.0,
    tick: Callable[[str], None] = lambda message: None,
) -> dict[str, Latency]:
    """Times each contender in turn after warm-up, until each has `most_runs` runs or `most_seconds` of running (by
    default MOST_RUNS and MOST_SECONDS), or the interval of its median is no wider than `settled` times that."""
    most_runs = MOST_RUNS if most_runs is None else most_runs
    most_seconds = MOST_SECONDS if most_seconds is None else most_seconds

    def ended(times: list[float]) -> bool:
        return len(times) >= most_runs or sum(times) >= most_seconds or is_settled(times, settled)

    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(WARM_UP_RUNS):
        for run in contenders.values():
            run()
    while not all(map(ended, seconds.values())):
        for name, run in contenders.items():
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
        tick(f"run {len(seconds[name])}")
    return {name: Latency(tuple(times)) for name, times in seconds.items()}


def is_settled(seconds: Sequence[float], share: float) -> bool:
    """Whether the 95 % confidence interval of the median is no wider than `share` of it."""
    if len(seconds) < SETTLED_RUNS or sum(seconds) < SETTLED_SECONDS:
        return False
    low, high = median_interval(seconds)
    return high - low <= share * float(np.median(seconds))


def median_interval(seconds: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median, by order statistics, which take no distribution for granted; the
    binomial distribution of the ranks is approximated by a normal one."""
    count = len(seconds)
    rank = max(0, math.floor(count / 2 - 0.98 * math.sqrt(count)))
    ordered = sorted(seconds)
    return ordered[rank], ordered[count - 1 - rank]
