from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from tests.passes.harness import program_of
from voxc.compiler.core.cost import Cost
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.target import Peaks, load_targets
from voxc.compiler.measure.estimate import estimate, estimate_figures

PEAKS = Peaks(rates={"float32": 100, "float16": 200}, bandwidth=10, launch=5, source="a book")
BARE = load_targets()["onnxruntime-cpu"]
TARGET = BARE.model_copy(update={"peaks": PEAKS, "arithmetic": "float16"})


def seconds(*work: Cost, peaks: Peaks = PEAKS) -> float:
    return estimate(work, peaks).seconds


def test_an_operator_takes_its_arithmetic_or_its_bytes_and_a_launch() -> None:
    products = Cost("a", 50_000_000, 1_000, "float32")  # 100 M operations at 100 G/s: 1 ms
    moving = Cost("b", 0, 20_000_000, "float32")  # 20 MB at 10 GB/s: 2 ms
    assert seconds(products) == pytest.approx(1.005e-3)
    assert seconds(moving) == pytest.approx(2.005e-3)
    assert seconds(products, moving) == pytest.approx(3.01e-3)
    assert seconds() == 0


def test_rates_are_those_of_the_arithmetic() -> None:
    assert seconds(Cost("a", 50_000_000, 1_000, "float16")) == pytest.approx(0.505e-3)


def test_what_there_are_no_units_for_runs_in_wider_ones() -> None:
    integers = Cost("a", 50_000_000, 1_000, "int8")
    assert seconds(integers) == pytest.approx(0.505e-3)
    only = PEAKS.model_copy(update={"rates": {"float32": 100}})
    assert seconds(integers, peaks=only) == pytest.approx(1.005e-3)
    assert estimate([integers], only).macs == {"float32": 50_000_000}
    assert seconds(Cost("a", 50_000_000, 0, "float32"), peaks=PEAKS.model_copy(update={"rates": {"int8": 100}})) > 0


def test_the_figure_says_that_it_is_an_estimate_and_of_what() -> None:
    program = program_of(nn.Conv1d(6, 4, 3, padding=1), (1, 6, 1000))
    found = estimate_figures(program, TARGET)["latency_estimate"]
    assert found.evidence == "estimate"
    assert found.unit == "ms"
    assert found.value == pytest.approx(4 * (6_000 + 72 + 4 + 4_000) / 10e9 * 1e3 + 0.005, rel=1e-4)
    told = ("max(2 * MACs / rate", "7.2e-05 G MACs at 100 G float32", "10 GB/s", "5 us", "a book", "not a latency")
    assert all(part in found.how for part in told)
    half = replace(program, plan=PrecisionPlan(default="fp16"))
    assert estimate_figures(half, TARGET)["latency_estimate"].value < found.value  # type: ignore[operator]


def test_there_is_none_without_peaks() -> None:
    assert estimate_figures(program_of(nn.Linear(6, 4), (1, 6)), BARE) == {}
