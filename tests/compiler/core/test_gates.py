from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.gates import METRICS, Gate, GateText, rate


def figures(value: float | None, how: str = "test") -> dict[str, dict[str, Figure]]:
    evidence = None if value is None else "host"
    figure = Figure(value=value, unit="unit", evidence=evidence, how=how)
    return {"task": {"secs": figure, "f0_rmse": figure}, "fidelity": {"snr": figure}}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("secs>=0.8", "task.secs>=0.8"),
        ("fidelity.secs >= .95", "fidelity.secs>=0.95"),
        ("task.f0_rmse<=50", "task.f0_rmse<=50"),
        (" f0_correlation>=0.9 ", "task.f0_correlation>=0.9"),
        ("voicing_error<=0.1", "task.voicing_error<=0.1"),
        ("mos>=3", "task.mos>=3"),
        ("snr>=25", "fidelity.snr>=25"),
        ("stoi>=0.123456789", "fidelity.stoi>=0.123456789"),
        ("pesq>=4", "fidelity.pesq>=4"),
        ("log_mel_distance<=1e-1", "fidelity.log_mel_distance<=0.1"),
        ("size_mib<=50", "bundle.size_mib<=50"),
        ("speedup>=2", "bundle.speedup>=2"),
        ("bundle.memory_mib<=300", "bundle.memory_mib<=300"),
    ],
)
def test_a_gate_and_its_text(text: str, canonical: str) -> None:
    gate = Gate.parse(text)
    assert str(gate) == canonical
    assert Gate.parse(canonical) == gate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sex>=0.8", "no metric 'sex'.*task has secs.*fidelity has .*snr.*; bundle has size_mib, speedup, memory_mib"),
        ("size_mb<=50", "no metric 'size_mb'.*bundle has size_mib"),
        ("speedup<=2", "higher is better for speedup"),
        ("task.size_mib<=50", "task has no metric 'size_mib'"),
        ("task.snr>=25", "task has no metric 'snr'"),
        ("speed.snr>=25", "speed has no metric"),
        ("secs_source<=0.5", "no metric 'secs_source' for gates"),
        ("secs<=0.8", "higher is better for secs; write secs>=0.8"),
        ("f0_rmse>=50", "lower is better for f0_rmse"),
        ("secs>=nan", "must be a number between 0 and 1"),
        ("snr>=inf", "must be a number"),
        ("secs>=1.2", "between 0 and 1"),
        ("f0_rmse<=-1", "between 0 and inf"),
        ("pesq>=5", "between 1 and 4.65"),
        ("secs>=high", "'high' is not a number"),
        ("secs", "in quotes"),
        ("secs=0.8", "write it as"),
        ("", "write it as"),
    ],
)
def test_what_is_not_a_gate(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Gate.parse(text)


@pytest.mark.parametrize(
    ("text", "value", "passes"),
    [
        ("secs>=0.8", 0.8, True),
        ("secs>=0.8", 0.79, False),
        ("f0_rmse<=50", 50, True),
        ("f0_rmse<=50", 51, False),
        ("snr>=25", 24.9, False),
        ("snr>=-5", -4, True),
    ],
)
def test_gates_hold_figures_to_their_bounds(text: str, value: float, passes: bool) -> None:
    assert (Gate.parse(text).failure(figures(value)) is None) is passes


def test_a_failure_names_metric_value_and_bound() -> None:
    assert Gate.parse("secs>=0.8").failure(figures(0.7123)) == (
        "gate task.secs>=0.8: task.secs is 0.7123 unit, below 0.8"
    )
    assert "is 80 unit, above 50" in str(Gate.parse("f0_rmse<=50").failure(figures(80)))


def test_a_figure_without_a_number_fails_with_its_reason() -> None:
    assert "has no number (the source is silent)" in str(
        Gate.parse("snr>=25").failure(figures(None, "the source is silent"))
    )
    assert "was not measured" in str(Gate.parse("pesq>=3").failure(figures(1)))
    assert "was not measured" in str(Gate.parse("pesq>=3").failure({}))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("secs", (0.85, 0.84, 0.75, 0.74)),
        ("f0_correlation", (0.95, 0.85, 0.8, 0.1)),
        ("f0_rmse", (30, 31, 80, 81)),
        ("stoi", (1, 0.85, 0.82, 0.79)),
    ],
)
def test_ratings(name: str, values: tuple[float, ...]) -> None:
    assert [rate(name, value) for value in values] == ["excellent", "good", "acceptable", "poor"]


def test_metrics_without_ratings() -> None:
    assert rate("mos", 3) is None


def test_every_rated_metric_has_falling_demands() -> None:
    for metric in METRICS.values():
        if metric.ratings:
            assert list(metric.ratings) == sorted(metric.ratings, reverse=metric.sign == ">=")


def test_gates_as_fields() -> None:
    class Target(BaseModel):
        gates: tuple[GateText, ...]

    assert Target(gates=("secs>=0.8",)).model_dump(mode="json") == {"gates": ["task.secs>=0.8"]}
    with pytest.raises(ValidationError, match="higher is better"):
        Target(gates=("secs<=0.8",))


def test_gates_need_no_library() -> None:
    code = "import sys; import voxc.compiler.core.gates; print('torch' in sys.modules, 'numpy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "False"]
