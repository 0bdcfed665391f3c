"""Beside Praat itself, whose contours these are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import parselmouth
import pytest
import soundfile
import soxr

from voxc.compiler.audio.autocorrelation import CEILING, FLOOR, contour, folded

RATE = 16_000


def praat(samples: np.ndarray, silence: float, voicing: float) -> np.ndarray:
    sound = parselmouth.Sound(samples.astype(np.float64), RATE)
    pitch = sound.to_pitch_ac(
        time_step=0.01, pitch_floor=FLOOR, pitch_ceiling=CEILING, silence_threshold=silence, voicing_threshold=voicing
    )
    return pitch.selected_array["frequency"]


@pytest.mark.parametrize(("silence", "voicing"), [(0.03, 0.6), (0.1, 0.3)])
@pytest.mark.parametrize("noise", [0, 0.02])
@pytest.mark.parametrize("name", ["source_1", "source_2", "reference_1", "reference_2"])
def test_speech(recordings: Path, name: str, noise: float, silence: float, voicing: float) -> None:
    samples, rate = soundfile.read(recordings / f"{name}.wav")
    samples = soxr.resample(samples, rate, RATE)[: 4 * RATE]
    samples += noise * np.random.default_rng(0).standard_normal(len(samples))
    expected, found = praat(samples, silence, voicing), contour(samples, silence, voicing)
    assert len(found) == len(expected)
    assert (expected > 0).sum() > 50
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("hertz", [55.0, 123.4, 440.0, 1050.0])
def test_a_tone_has_its_own_pitch(hertz: float) -> None:
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    np.testing.assert_allclose(contour(samples, 0.03, 0.6), hertz, rtol=1e-3)


@pytest.mark.parametrize("length", [0, 1, 959, 960, 961, 1119, 1120, 1281])
def test_frames_have_room_for_a_window(length: int) -> None:
    frames = contour(np.zeros(length, np.float32), 0.03, 0.6)
    assert len(frames) == max(0, (length - 960) // 160 + 1)
    assert not frames.any()


def test_a_click_is_unvoiced() -> None:
    samples = np.zeros(RATE)
    samples[8000] = 1
    assert not contour(samples, 0.03, 0.6).any()


def test_what_exceeds_one_is_as_weak_as_what_falls_short() -> None:
    np.testing.assert_allclose(folded(np.array([0.8, 1.0, 1.25])), [0.8, 1.0, 0.8])
