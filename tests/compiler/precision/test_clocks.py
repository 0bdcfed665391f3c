from __future__ import annotations

import pytest

from tests.compiler.precision.networks import layers_by_module, subject_of, three
from tests.passes.harness import FRAMES
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Peaks, Target, load_targets
from voxc.compiler.precision.clocks import LayerTime, Products, Roofline, estimating, floats_of
from voxc.compiler.precision.subject import Subject

TARGETS = load_targets()
ORIN, ANE = TARGETS["jetson-orin-nano-jp6"], TARGETS["apple-ane"]
PEAKS = Peaks(rates={"float32": 1, "float16": 2, "int8": 8}, bandwidth=1e6, launch=0, source="a book")


@pytest.fixture(scope="module")
def program() -> Program:
    return export(three(), {"T": FRAMES}, dynamic=False)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return subject_of(three(), ORIN, rest="fp16")


def test_a_layer_takes_what_the_peaks_allow(program: Program) -> None:
    """Against float16, not float32: 4 * 4 * 3 weights at 40 places are 3840 operations."""
    (node,) = (node for node in program.graph.nodes if node.name == layers_by_module(program)["second"])
    time = Roofline(ORIN, PEAKS).time(program, node)
    assert time.floats == pytest.approx(3840 / 2e9)
    assert time.int8 == pytest.approx(3840 / 8e9)
    assert time.saved == time.floats - time.int8


def test_bytes_count_and_integers_give_float16(program: Program) -> None:
    """160 activations each way, 48 weights and 4 biases; in float16 two bytes each. Integers are read, floats given."""
    (node,) = (node for node in program.graph.nodes if node.name == layers_by_module(program)["second"])
    slow = PEAKS.model_copy(update={"bandwidth": 1e-3})
    time = Roofline(ORIN, slow).time(program, node)
    assert time.floats == pytest.approx(2 * (160 + 48 + 4 + 160) / 1e6)
    assert time.int8 == pytest.approx((160 + 48 + 4 + 2 * 160) / 1e6)
    integers = ORIN.model_copy(update={"scheme": ANE.scheme})
    assert Roofline(integers, slow).time(program, node).int8 == pytest.approx((160 + 48 + 4 + 160) / 1e6)


def test_more_integers_are_faster(subject: Subject) -> None:
    few, all_ = frozenset(subject.layers[:1]), frozenset(subject.layers)
    for clock in (Roofline(ORIN, PEAKS), Products(ANE)):
        assert clock.by_speed(subject, [few, all_]) == [all_, few]
        assert clock.by_speed(subject, [all_, few]) == [all_, few]


def test_what_has_no_peaks_has_no_seconds(program: Program) -> None:
    (node,) = (node for node in program.graph.nodes if node.name == layers_by_module(program)["second"])
    assert estimating(ANE).time(program, node) is None
    assert isinstance(estimating(ORIN).time(program, node), LayerTime)


@pytest.mark.parametrize("target", [ORIN, ANE, TARGETS["tensorrt"]], ids=lambda target: target.name)
def test_estimates_say_what_they_are(target: Target) -> None:
    clock = estimating(target)
    assert clock.evidence == "estimate"
    assert clock.told.startswith(f"estimates, as no runtime of {target.name} is here")
    assert target.peaks is None or all(text in clock.told for text in ("max(2 * MACs", "68 GB/s", "20000 G int8"))


def test_floats_are_stored_small_where_that_costs_nothing() -> None:
    assert [floats_of(TARGETS[name]) for name in ("apple-ane", "tensorrt", "tflite-int8")] == ["fp16", "fp16", "fp32"]
