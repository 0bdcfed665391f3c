from __future__ import annotations

import time

import pytest

from voxc.compiler.measure import latency as latencies
from voxc.compiler.measure.latency import WARM_UP_RUNS, Latency, interleave, is_settled, median_interval


def test_contenders_take_turns_after_warm_up() -> None:
    order: list[str] = []
    taken = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, most_runs=3)
    assert order == ["a", "b"] * (WARM_UP_RUNS + 3)
    assert all(len(latency.seconds) == 3 for latency in taken.values())


def test_seconds_end_it_too() -> None:
    taken = interleave({"a": lambda: time.sleep(0.01)}, most_runs=10**9, most_seconds=0.015)
    assert 1 <= len(taken["a"].seconds) <= 2


def test_a_settled_median_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latencies, "SETTLED_SECONDS", 0.05)
    taken = interleave({"a": lambda: time.sleep(0.01)}, 10**9, 10.0, settled=1.0)
    assert len(taken["a"].seconds) == 6


def test_what_is_settled() -> None:
    steady, unsteady = [1.0, 1.01, 1.02, 0.99, 1.0, 1.01], [1.0, 1.01, 1.02, 0.99, 1.0, 1.5]
    assert is_settled(steady, 0.05)
    assert not is_settled(steady, 0.01)
    assert not is_settled(steady[:5], 0.05)  # too few
    assert not is_settled([each / 100 for each in steady], 0.05)  # too short to tell
    assert not is_settled(unsteady, 0.05)
    assert is_settled(unsteady * 4, 0.05)  # single ones do not matter among many


def test_the_interval_of_a_median() -> None:
    """The ranks of the binomial distribution: 2 and 8 of 9 leave less than 5 % outside."""
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0, 9.0, 8.0, 7.0]) == (2.0, 8.0)
    assert median_interval(list(map(float, range(100)))) == (40.0, 59.0)


def test_percentiles() -> None:
    latency = Latency(tuple(range(1, 102)))
    assert (latency.median, latency.percentile(90), latency.least) == (51, 91, 1)
