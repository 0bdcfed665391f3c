from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.figure import Figure
from voxc.compiler.manifest import ComponentMeasurements, Manifest, read_manifest
from voxc.compiler.report.table import COLUMNS, Cell, floats_ratio, latency_ratio, notes, row


def times(value: float | None, unit: str = "x") -> Figure:
    return Figure(value=value, unit=unit, evidence=None if value is None else "host", how="a ratio")


@pytest.mark.parametrize(
    ("over_floats", "text"),
    [(None, "2.5 x"), (1.25, "2.5 x"), (1.0, "2.5 x, floats 2.5 x"), (0.5, "2.5 x, floats 5 x")],
)
def test_integers_that_do_not_pay_say_what_would(over_floats: float | None, text: str) -> None:
    assert latency_ratio(times(2.5), over_floats).text == text


def test_what_was_not_timed_has_no_ratio() -> None:
    assert latency_ratio(times(None), None).text == "-"
    assert latency_ratio(times(None), 0.5).text == "-"


def test_a_ratio_of_nothing_is_left_out() -> None:
    assert latency_ratio(times(2.5), 0.0).text == "2.5 x"


def of_components(manifest: Manifest, **figures: dict[str, Figure]) -> Manifest:
    components = {name: ComponentMeasurements(figures=each, passes={}) for name, each in figures.items()}
    measurements = manifest.measurements.model_copy(update={"components": components})
    return manifest.model_copy(update={"measurements": measurements})


def test_floats_are_those_of_components_with_integers(compiled: Path) -> None:
    manifest = read_manifest(compiled)
    assert floats_ratio(manifest) is None
    content = {"latency_median": times(2.0, "ms"), "snr": times(40.0, "dB")}
    own = {"latency_median": times(8.0, "ms"), "floats_latency_median": times(3.0, "ms"), "snr": times(30.0, "dB")}
    mixed = of_components(manifest, content=content, synthesizer=own)
    assert floats_ratio(mixed) == 0.5
    untimed = {**own, "latency_median": times(None, "ms")}
    assert floats_ratio(of_components(manifest, content=content, synthesizer=untimed)) is None
    cells = dict(zip(COLUMNS, row("voice", Bundle(compiled, mixed)), strict=True))
    assert (cells["latency"].text, cells["SNR"].text) == ("10 ms", "30 dB")  # without a conversion, the furthest


def test_a_reason_has_one_number() -> None:
    rows = [{"a": Cell("-", "one"), "b": Cell("1", "-")}, {"a": Cell("-", "two"), "b": Cell("-", "one")}]
    assert notes(rows) == {"one": 1, "two": 2}


def test_estimates_are_marked_in_text() -> None:
    assert str(Cell("13 ms", "roofline", "estimate")) == "13 ms, estimated"
    assert str(Cell("13 ms", "timed", "host")) == "13 ms"
