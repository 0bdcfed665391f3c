from __future__ import annotations

import numpy as np
import pytest

from voxc.compiler.core.fidelity import log_mel, log_mel_distance, max_abs_error, mean_abs_error, mel_filters, snr_db

RATE = 16000
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)[np.newaxis, np.newaxis]


@pytest.mark.parametrize("decibels", [-10.0, 0.0, 25.0, 60.0])
def test_snr_of_scaled_noise(decibels: float) -> None:
    noise = np.random.default_rng(0).standard_normal(TONE.shape)
    noise *= np.sqrt(np.mean(TONE**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
    assert snr_db(TONE, TONE + noise) == pytest.approx(decibels, abs=0.01)


def test_a_constant_hides_no_noise() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(TONE.shape)
    assert snr_db(TONE + 5, TONE + 5 + noise) == pytest.approx(snr_db(TONE, TONE + noise), abs=1e-3)
    assert snr_db(TONE, TONE + 1) == pytest.approx(10 * np.log10(0.5), abs=1e-3)  # in the output, it is noise


def test_snr_at_its_ends() -> None:
    assert snr_db(TONE, TONE) == np.inf
    assert snr_db(np.zeros(3), np.ones(3)) == -np.inf
    assert snr_db(TONE, np.full_like(TONE, np.nan)) == -np.inf


def test_absolute_errors() -> None:
    reference, output = np.float32([0, 1]), np.float32([0.25, 1])
    assert max_abs_error(reference, output) == 0.25
    assert mean_abs_error(reference, output) == 0.125


def test_log_mel_distance_of_a_louder_tone() -> None:
    """Twice the amplitude is ln 2 further in every band above the floor."""
    noise = np.random.default_rng(0).standard_normal(RATE)
    assert log_mel_distance(noise, 2 * noise, RATE) == pytest.approx(np.log(2), abs=1e-6)
    assert log_mel_distance(TONE, TONE, RATE) == 0


def test_a_tone_shows_in_its_band() -> None:
    loudest = int(np.argmax(log_mel(TONE, RATE).mean(0)))
    filters = mel_filters(RATE, round(RATE * 0.04))
    hertz = np.fft.rfftfreq(round(RATE * 0.04), 1 / RATE)
    assert hertz[filters[:, loudest] > 0].min() <= 440 <= hertz[filters[:, loudest] > 0].max()


def test_audio_shorter_than_a_window() -> None:
    assert log_mel(TONE[..., :10], RATE).shape == (1, 80)
