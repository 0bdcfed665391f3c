"""How long runs take, contenders timed in turn so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

WARM_UP_RUNS = 2
LEAST_RUNS = 20
LEAST_SECONDS = 5.0
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
    least_runs: int | None = None,
    least_seconds: float | None = None,
    tick: Callable[[str], None] = lambda message: None,
) -> dict[str, Latency]:
    """Times each contender in turn after warm-up, until each has `least_runs` runs or `least_seconds` of running; by
    default LEAST_RUNS and LEAST_SECONDS."""
    least_runs = LEAST_RUNS if least_runs is None else least_runs
    least_seconds = LEAST_SECONDS if least_seconds is None else least_seconds
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(WARM_UP_RUNS):
        for run in contenders.values():
            run()
    while not all(len(times) >= least_runs or sum(times) >= least_seconds for times in seconds.values()):
        for name, run in contenders.items():
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
        tick(f"run {len(seconds[name])}")
    return {name: Latency(tuple(times)) for name, times in seconds.items()}
