from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest
from torch import nn

from tests.passes.harness import component_of
from voxc.compiler.measure.figures import Floats, Run, fidelity_figures, latency_figures, missing_latency

AUDIO = np.random.default_rng(0).standard_normal((1, 1, 4000)).astype(np.float32)


def test_equal_outputs_have_no_snr_and_say_so() -> None:
    figures = fidelity_figures(AUDIO, AUDIO, "full scale", 16000, "test")
    assert figures["snr"].value is None
    assert "equal" in figures["snr"].how
    assert figures["max_abs_error"].value == figures["mean_abs_error"].value == 0


def test_a_broken_output_has_no_numbers() -> None:
    figures = fidelity_figures(AUDIO, np.full_like(AUDIO, np.nan), "full scale", 16000, "test")
    assert list(figures) == ["snr"]
    assert figures["snr"].value is None
    assert "not finite" in figures["snr"].how


def test_what_was_not_measured_says_why() -> None:
    figures = missing_latency("no such device here")
    assert figures
    assert all(figure.value is None and figure.how == "no such device here" for figure in figures.values())


@pytest.mark.parametrize(("milliseconds", "pays"), [(0.1, True), (20.0, False)])
def test_integers_are_timed_beside_floats(milliseconds: float, pays: bool) -> None:
    """An artifact that takes `milliseconds` for what floats do in 4."""
    component = component_of(nn.Identity(), (1, 4))
    inputs = component.reference_inputs({"T": 1})
    figures = latency_figures(
        component, sleeping(milliseconds), inputs, Floats("fp32", sleeping(4.0)),
        runtime="test", threads=1, seconds_of_audio=1.0, tick=lambda message: None,
    )  # fmt: skip
    ratio = figures["speedup_over_floats"]
    assert ratio.value is not None
    assert (ratio.value > 1) == pays
    assert ("--precision fp32" in ratio.how) != pays
    assert figures["floats_latency_median"].how.startswith("the same network in fp32")


def test_floats_are_not_timed_beside_themselves() -> None:
    component = component_of(nn.Identity(), (1, 4))
    figures = latency_figures(
        component, sleeping(0.0), component.reference_inputs({"T": 1}),
        runtime="test", threads=1, seconds_of_audio=1.0, tick=lambda message: None,
    )  # fmt: skip
    assert "speedup_over_floats" not in figures


def sleeping(milliseconds: float) -> Run:
    def run(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        time.sleep(milliseconds / 1e3)
        return inputs

    return run
