from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import RATE, glide, hum, noise_like, syllables
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.gates import METRICS, MOST_SNR_DB, Gate
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality import needs
from voxc.compiler.measure.quality.families import fidelity, task

Recording = Callable[[str], tuple[Array, int]]
SPEECH = syllables(2)
SILENCE = np.zeros(2 * RATE, np.float32)
BROKEN = np.where(np.arange(2 * RATE) == 7, np.nan, SPEECH).astype(np.float32)
HISS = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)


def values(figures: Mapping[str, Figure]) -> dict[str, float | None]:
    return {name: figure.value for name, figure in figures.items()}


def test_families_have_the_metrics_that_gates_know() -> None:
    for family, figures in (
        ("fidelity", fidelity(SILENCE, SILENCE, RATE)),
        ("task", task(SILENCE, RATE, SILENCE, RATE, [])),
    ):
        assert set(figures) == {name for name, metric in METRICS.items() if family in metric.families}
        assert all(figure.unit == METRICS[name].unit for name, figure in figures.items())


def test_equal_speech(recording: Recording) -> None:
    samples, rate = recording("source_1")
    found = values(fidelity(samples[: 3 * rate], samples[: 3 * rate], rate))
    assert found == {
        "snr": MOST_SNR_DB,
        "log_mel_distance": 0,
        "stoi": pytest.approx(1, abs=1e-5),
        "pesq": pytest.approx(4.644, abs=1e-3),
        "secs": pytest.approx(1, abs=1e-5),
        "f0_correlation": pytest.approx(1),
        "f0_rmse": 0,
        "f0_rmse_cents": 0,
        "voicing_error": 0,
    }


def test_noise_costs_fidelity() -> None:
    figures = fidelity(SPEECH, SPEECH + noise_like(SPEECH, 25), RATE, evidence="reference")
    assert figures["snr"].value == pytest.approx(25, abs=0.01)
    assert figures["snr"].evidence == "reference"
    assert figures["stoi"].value is not None
    assert 0.8 < figures["stoi"].value < 1
    assert Gate.parse("snr>=24.9").failure({"fidelity": figures}) is None
    assert "is 25 dB, below 25.1" in str(Gate.parse("snr>=25.1").failure({"fidelity": figures}))


def test_a_conversion_that_does_nothing(recording: Recording) -> None:
    """The source as its own conversion: no gain, the pitch where it was, and so away from the transposed contour."""
    (source, rate), target = recording("source_1"), recording("reference_1")
    source = source[: 3 * rate]
    found = values(task(source, rate, source, rate, [target]))
    assert found["secs"] == found["secs_source"]
    assert found["secs_gain"] == 0
    assert found["mos"] == found["mos_source"]
    assert found["f0_rmse_cents"] == 0
    assert found["stoi_source"] == pytest.approx(1, abs=1e-5)
    moved = values(task(source, rate, source, rate, [target], transpose=12))
    assert moved["f0_rmse_cents"] == pytest.approx(1200, abs=0.1)
    assert moved["f0_correlation"] == pytest.approx(1)


def test_the_targets_own_recording_is_a_perfect_conversion(recording: Recording) -> None:
    target, source = recording("reference_1"), recording("source_1")
    found = task(*target, *source, [target])
    assert found["secs"].value == pytest.approx(1, abs=1e-5)
    assert found["secs_gain"].value == pytest.approx(1 - float(found["secs_source"].value or 0), abs=1e-5)
    assert float(found["secs_gain"].value or 0) > 0.2


def test_other_rates_and_lengths() -> None:
    figures = task(hum(glide(seconds=2.2, rate=40000), 40000), 40000, hum(glide(seconds=2)), RATE, [])
    # The glide of 2.2 s is the slower one: it is compared for 2 s with one that has gone further.
    assert figures["f0_correlation"].value == pytest.approx(1, abs=1e-3)
    assert "over the first 2.00 s, which both have" in figures["f0_rmse"].how
    assert "(2.00 s)" not in figures["mos"].how


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (SILENCE, "silent"),
        (SPEECH[:160], "shorter than 0.5 s|too different to compare"),
        (BROKEN, "not finite"),
        (SPEECH[:0], "empty"),
    ],
    ids=["silence", "10 ms", "NaN", "nothing"],
)
def test_audio_without_figures(audio: Array, reason: str) -> None:
    conversions = [
        task(audio, RATE, SPEECH, RATE, [(SPEECH, RATE)]),
        task(SPEECH, RATE, audio, RATE, [(SPEECH, RATE)]),
        task(audio, RATE, audio, RATE, [(audio, RATE)]),
        fidelity(audio, SPEECH, RATE),
        fidelity(SPEECH, audio, RATE),
        fidelity(audio, audio, RATE),
    ]
    for figures in conversions[2], conversions[5]:
        for name in figures.keys() - {"snr", "log_mel_distance", "secs_gain"}:
            assert figures[name].value is None, name
            assert re.search(reason, figures[name].how), figures[name].how
    for figures in conversions:
        assert any(figure.value is None for figure in figures.values())


def test_noise_has_no_pitch_and_says_so() -> None:
    for figures in (fidelity(HISS, HISS, RATE), task(HISS, RATE, HISS, RATE, [])):
        for name in ("f0_correlation", "f0_rmse", "f0_rmse_cents", "voicing_error"):
            assert figures[name].value is None
            assert "voiced" in figures[name].how


def test_a_silent_artifact_has_a_distance_and_no_similarity() -> None:
    figures = fidelity(SPEECH, SILENCE, RATE)
    assert figures["snr"].value == pytest.approx(0, abs=1e-9)
    assert float(figures["log_mel_distance"].value or 0) > 1
    assert figures["pesq"].value is None


def test_a_missing_library_is_a_figure_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(module: str) -> None:
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr(needs.importlib, "import_module", gone)
    figures = fidelity(SPEECH, SPEECH, RATE)
    assert figures["snr"].value == MOST_SNR_DB
    for name in ("stoi", "pesq", "secs", "f0_rmse"):
        assert figures[name].value is None
        assert "pip install 'voxc[quality]'" in figures[name].how


def test_long_audio_is_sampled() -> None:
    figures = fidelity(np.tile(SPEECH, 60), np.tile(SPEECH, 60), RATE)
    assert "over 6 pieces of 10 s, evenly spread over 120.0 s" in figures["stoi"].how
    assert figures["stoi"].value == pytest.approx(1, abs=1e-5)


def test_a_library_that_fails_is_a_figure_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numba does without a home, whose cache of compiled functions has no place then."""

    def failing(module: str) -> None:
        raise RuntimeError(f"cannot cache functions of {module!r}:\nno locator available")

    monkeypatch.setattr(needs.importlib, "import_module", failing)
    figures = fidelity(SPEECH, SPEECH, RATE)
    assert figures["snr"].value == MOST_SNR_DB
    assert figures["secs"].value is None
    assert figures["secs"].how.endswith(": RuntimeError: cannot cache functions of 'resemblyzer': no locator available")
