"""The figures about pitch: on contours and pulse trains whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("parselmouth")
from melody import gross_share, in_own_ranges, melody, second_pass, without_gross_errors

from voxc.compiler.measure.quality.f0 import Contours

RATE = 16000


def pulses(f0: np.ndarray, weak: float = 1.0) -> np.ndarray:
    """A pulse train that follows `f0` [samples] in Hz, every other pulse `weak` times as high."""
    turns = np.cumsum(f0) / RATE
    number = np.floor(turns).astype(int)
    starts = np.flatnonzero(np.diff(number))
    sound = np.zeros(len(f0))
    sound[starts] = np.where(np.arange(len(starts)) % 2, weak, 1.0)
    return np.convolve(sound, np.exp(-np.arange(80) / 20), "same").astype(np.float32) * 0.3


def test_gross_errors_are_counted_and_left_out():
    wanted = np.linspace(100, 200, 100)
    found = wanted + np.sin(np.arange(100))
    found[[7, 50, 51]] /= 2
    found[90] = 0  # unvoiced: no pitch to be wrong about
    contours = Contours(wanted, found)
    assert gross_share(contours) == pytest.approx(3 / 99, abs=1e-4)
    assert contours.correlation() < 0.95
    good = without_gross_errors(contours)
    assert len(good.candidate) == 96
    assert good.correlation() > 0.999


def test_a_weak_second_pulse_is_an_octave_error_only_in_the_wide_range():
    glide = np.linspace(150, 210, 2 * RATE)
    sentences = [*(pulses(glide) for _ in range(7)), pulses(glide, weak=0.6)]
    pairs = [(pulses(glide), one) for one in sentences]
    wide = Contours.of(pairs)
    assert 0.1 < gross_share(wide) < 0.15
    own = in_own_ranges(pairs, 0)
    assert gross_share(own) == 0
    assert own.correlation() > 0.99


def test_transposing_is_no_error():
    glide = np.linspace(100, 140, 2 * RATE)
    pairs = [(pulses(glide), pulses(2 * glide))]
    found = melody(pairs, 12.0)
    assert found["f0_correlation_pooled"] > 0.99
    assert found["f0_gross_errors"] == 0
    assert found["f0_fine_error_cents"] < 30
    assert gross_share(Contours.of(pairs)) == 1


def test_the_second_pass_looks_where_the_voice_is():
    contour = second_pass((pulses(np.full(RATE, 120.0)),))
    assert contour.shape == (100,)
    assert np.median(contour[contour > 0]) == pytest.approx(120, abs=1)
