from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import RATE, glide, hum
from voxc.compiler.measure.quality.clips import Unmeasurable
from voxc.compiler.measure.quality.f0 import Contours, contour, how

STEADY = np.full(2 * RATE, 150.0)


def contours(reference: np.ndarray, found: np.ndarray, transpose: float = 0) -> Contours:
    return Contours.of([(hum(reference), hum(found))], transpose)


def test_a_contour_is_the_pitch_of_its_time() -> None:
    found = contour(hum(glide()))
    middles = len(glide()) / 2 + RATE * 0.01 * (np.arange(found.size) - (found.size - 1) / 2)
    np.testing.assert_allclose(found, glide()[middles.astype(int)], rtol=2e-3)


def test_equal_audio() -> None:
    same = contours(glide(), glide())
    assert same.correlation() == pytest.approx(1)
    assert (same.rmse(), same.rmse_cents(), same.voicing_error()) == (0, 0, 0)


@pytest.mark.parametrize(("transpose", "cents"), [(0, 200), (2, 0), (3, 100), (-10, 1200)])
def test_two_semitones_up(transpose: float, cents: float) -> None:
    found = contours(glide(), glide() * 2 ** (2 / 12), transpose)
    assert found.rmse_cents() == pytest.approx(cents, abs=1)
    assert found.correlation() > 0.9999


def test_a_shift_in_hertz() -> None:
    assert contours(glide(), glide() + 10).rmse() == pytest.approx(10, abs=0.1)


def test_a_falling_answer_to_a_rising_contour() -> None:
    assert contours(glide(), 360 - glide()).correlation() == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_voicing_error_is_the_silenced_share(share: float) -> None:
    gated = hum(STEADY)
    gated[: int(share * gated.size)] = 0
    found = Contours.of([(hum(STEADY), gated)])
    assert found.voicing_error() == pytest.approx(share, abs=0.02)
    assert found.rmse() < 0.5, "only frames voiced in both are compared"


def test_pieces_are_strung_together() -> None:
    both = Contours.of([(hum(STEADY), hum(STEADY)), (hum(STEADY), hum(STEADY + 10))])
    assert both.rmse() == pytest.approx(10 / np.sqrt(2), abs=0.1)


def test_a_monotone_has_no_correlation() -> None:
    with pytest.raises(Unmeasurable, match="does not move"):
        contours(STEADY, STEADY).correlation()


def test_unvoiced_audio_has_reasons() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    nothing = Contours.of([(noise, noise)])
    for metric in (nothing.correlation, nothing.rmse, nothing.rmse_cents, nothing.voicing_error):
        with pytest.raises(Unmeasurable, match="voiced"):
            metric()


def test_how_says_the_method_and_its_range() -> None:
    assert how().startswith("autocorrelation as in Praat, 50 to 1100 Hz")
