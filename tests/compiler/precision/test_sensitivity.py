from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.compiler.precision.networks import LENGTH, layers_by_module, subject_of, three
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.compiler.precision.clocks import Choice, Clock, LayerTime
from voxc.compiler.precision.sensitivity import Sensitivity, measure_noise, time_layers
from voxc.compiler.precision.subject import Damage, Subject, output_of


class KnownTimes(Clock):
    """Gives the place of a layer in seconds for floats, and a quarter of it for integers; or no seconds."""

    def __init__(self, *, seconds: bool = True) -> None:
        self.asked: list[str] = []
        self.seconds = seconds

    def time(self, program: Program, node: object) -> LayerTime | None:
        self.asked.append(str(node))
        return LayerTime(len(self.asked), len(self.asked) / 4) if self.seconds else None

    def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
        return list(choices)


@pytest.fixture(scope="module")
def subject(target: Target) -> Subject:
    return subject_of(three(), target)


def measure(subject: Subject) -> tuple[Sensitivity, ...]:
    return measure_noise(subject, time_layers(subject, KnownTimes(), lambda message: None), lambda message: None)


def test_the_nastiest_weights_bring_the_most_noise(subject: Subject) -> None:
    names = layers_by_module(subject.program)
    noise = {row.node: row.noise for row in measure(subject)}
    assert set(noise) == set(names.values())
    assert noise[names["second"]] > 2 * max(noise[names["first"]], noise[names["third"]])
    assert min(noise.values()) > 0


def test_noise_is_that_of_the_whole_variant(subject: Subject) -> None:
    inputs = subject.inputs[0]
    expected = output_of(subject.program, inputs)
    for row in measure(subject):
        whole = Damage.of(expected, output_of(subject.quantized([row.node]), inputs), None)
        assert (row.noise, row.log_mel) == (whole.noise, None)
        assert row.snr == pytest.approx(whole.snr)


def test_weights_in_halves_hardly_count(target: Target) -> None:
    """Where all other layers are stored in float16, only those behind the layer are seen so."""
    subject = subject_of(three(), target, rest="fp16")
    inputs = subject.inputs[0]
    expected = output_of(subject.program, inputs)
    for row in measure(subject):
        whole = Damage.of(expected, output_of(subject.quantized([row.node]), inputs), None)
        assert row.snr == pytest.approx(whole.snr, abs=1)


def test_rows_tell_what_the_layers_are_in_the_order_of_the_graph(subject: Subject) -> None:
    ticks: list[str] = []
    rows = time_layers(subject, clock := KnownTimes(), ticks.append)
    assert ticks == [f"layer {number} of 3 timed" for number in (1, 2, 3)]
    assert all(row.noise is None for row in rows)
    ticks.clear()
    rows = measure_noise(subject, rows, ticks.append)
    assert [row.module for row in rows] == ["first", "second", "third"]
    assert [row.node for row in rows] == list(subject.layers) == clock.asked
    assert {row.operator for row in rows} == {"aten.convolution"}
    assert [(row.float_ms, row.int8_ms, row.gain) for row in rows] == [
        (1000, 250, 750), (2000, 500, 1500), (3000, 750, 2250),
    ]  # fmt: skip
    weights = (4 * 4 * 3, 4 * 4 * 3, 2 * 4 * 3)
    assert [row.bytes_saved for row in rows] == [3 * weight for weight in weights], "a bias takes as much as before"
    assert [row.macs for row in rows] == [weight * LENGTH for weight in weights]
    assert ticks == [f"layer {number} of 3" for number in (1, 2, 3)]
    assert subject.inputs[0]["x0"].shape[-1] == LENGTH


def test_without_seconds_products_count(subject: Subject) -> None:
    rows = time_layers(subject, KnownTimes(seconds=False), lambda message: None)
    assert all(row.float_ms is None and row.int8_ms is None for row in rows)
    assert [row.gain for row in rows] == [row.macs for row in rows]
