from __future__ import annotations

import numpy as np

from voxc.compiler.measure.figures import fidelity_figures, missing_latency

AUDIO = np.random.default_rng(0).standard_normal((1, 1, 4000)).astype(np.float32)


def test_equal_outputs_have_no_snr_and_say_so() -> None:
    figures = fidelity_figures(AUDIO, AUDIO, "full scale", 16000, "test")
    assert figures["snr"].value is None
    assert "equal" in figures["snr"].how
    assert figures["max_abs_error"].value == 0


def test_a_broken_output_has_no_numbers() -> None:
    figures = fidelity_figures(AUDIO, np.full_like(AUDIO, np.nan), "full scale", 16000, "test")
    assert list(figures) == ["snr"]
    assert figures["snr"].value is None
    assert "not finite" in figures["snr"].how


def test_what_was_not_measured_says_why() -> None:
    figures = missing_latency("no such device here")
    assert figures
    assert all(figure.value is None and figure.how == "no such device here" for figure in figures.values())
