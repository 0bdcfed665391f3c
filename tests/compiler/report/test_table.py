from __future__ import annotations

import pytest

from voxc.compiler.core.figure import Figure
from voxc.compiler.report.table import latency_ratio


def times(value: float) -> Figure:
    return Figure(value=value, unit="x", evidence="host", how="a ratio")


@pytest.mark.parametrize(
    ("over_floats", "text"),
    [(None, "2.5 x"), (1.25, "2.5 x"), (1.0, "2.5 x, floats 2.5 x"), (0.5, "2.5 x, floats 5 x")],
)
def test_integers_that_do_not_pay_say_what_would(over_floats: float | None, text: str) -> None:
    ratios = {} if over_floats is None else {"speedup_over_floats": times(over_floats)}
    assert latency_ratio({"speedup": times(2.5), **ratios}).text == text


def test_what_was_not_timed_has_no_ratio() -> None:
    assert latency_ratio({}).text == "-"
    assert latency_ratio({"speedup_over_floats": times(0.5)}).text == "-"


def test_a_ratio_of_nothing_is_left_out() -> None:
    assert latency_ratio({"speedup": times(2.5), "speedup_over_floats": times(0.0)}).text == "2.5 x"
