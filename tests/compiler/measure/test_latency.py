from __future__ import annotations

import time

from voxc.compiler.measure.latency import WARM_UP_RUNS, Latency, interleave


def test_contenders_take_turns_after_warm_up() -> None:
    order: list[str] = []
    taken = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, least_runs=3)
    assert order == ["a", "b"] * (WARM_UP_RUNS + 3)
    assert all(len(latency.seconds) == 3 for latency in taken.values())


def test_seconds_end_it_too() -> None:
    taken = interleave({"a": lambda: time.sleep(0.01)}, least_runs=10**9, least_seconds=0.015)
    assert 1 <= len(taken["a"].seconds) <= 2


def test_percentiles() -> None:
    latency = Latency(tuple(range(1, 102)))
    assert (latency.median, latency.percentile(90), latency.least) == (51, 91, 1)
