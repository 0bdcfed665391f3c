from __future__ import annotations

from pathlib import Path

import numpy as np
import parselmouth
import pytest

from tests.compiler.runtime.standins import tone
from voxc.compiler.families.rvc.voice import coarse_pitch
from voxc.compiler.runtime.f0 import Contour, Praat, placeable
from voxc.compiler.runtime.scratch import Scratch

LOUD_AND_SOFT = np.concatenate(
    [tone(hertz, 1.37, 16000, amplitude) for hertz, amplitude in ((110, 0.3), (300, 0.0002), (200, 0.01), (95, 0.03))]
    + [np.random.default_rng(0).standard_normal(9000).astype(np.float32) * 0.01, tone(250, 2, 16000, 0.005)]
)


def estimate(sound: np.ndarray, praat: Praat = Praat()) -> np.ndarray:  # noqa: B008 - frozen
    with Scratch(None) as audio:
        audio.append(sound)
        return praat.contour(audio, -100, len(sound) // 160 + 200, lambda done, total: None)


def rvcs_pm(sound: np.ndarray) -> np.ndarray:
    """RVC's call and padding, for a second of reflection on both sides and lengths that are whole frames."""
    padded = np.pad(sound, 16000, mode="reflect")
    pitch = parselmouth.Sound(padded, 16000).to_pitch_ac(
        time_step=0.01, voicing_threshold=0.6, pitch_floor=50, pitch_ceiling=1100
    )
    found, frames = pitch.selected_array["frequency"], len(padded) // 160
    before = (frames - len(found) + 1) // 2
    return np.pad(found, (before, frames - len(found) - before))


def test_equals_rvcs_pm() -> None:
    sound = LOUD_AND_SOFT[: 160 * 400]
    assert placeable(600) == 600
    np.testing.assert_array_equal(estimate(sound), rvcs_pm(sound))


@pytest.mark.parametrize("chunk", [57, 200, 500])
def test_chunks_equal_the_whole(chunk: int) -> None:
    whole = estimate(LOUD_AND_SOFT)
    assert 0.2 < (whole > 0).mean() < 0.9, "some of it should be silent by comparison"
    np.testing.assert_array_equal(estimate(LOUD_AND_SOFT, Praat(chunk, 100)), whole)


@pytest.mark.parametrize("name", ["source_1.wav", "source_2.wav"])
def test_chunks_equal_the_whole_for_speech(recordings: Path, name: str) -> None:
    import soundfile
    import soxr

    sound, rate = soundfile.read(recordings / name, dtype="float32")
    sound = soxr.resample(sound, rate, 16000) * np.linspace(1, 0.05, round(len(sound) * 16000 / rate)).astype(
        np.float32
    )
    np.testing.assert_array_equal(estimate(sound, Praat(150, 100)), estimate(sound))


@pytest.mark.parametrize("frames", [7, 29, 71, 96, 100, 150])
def test_frames_stand_on_multiples_of_160_samples_for_every_length(frames: int) -> None:
    """A glide tells where it was measured: 5 ms are 5 Hz."""
    time = np.arange(160 * frames) / 16000
    sound = np.sin(2 * np.pi * (200 * time + 500 * time**2)).astype(np.float32)
    with Scratch(None) as audio:
        audio.append(sound)
        found = Praat().contour(audio, 0, frames, lambda done, total: None)
    inside = slice(4, min(frames - 4, 60))
    assert len(found) == frames
    np.testing.assert_allclose(found[inside], (200 + 1000 * np.arange(frames) / 100)[inside], atol=1)


def test_silence_has_no_pitch() -> None:
    assert not estimate(np.zeros(16000, np.float32)).any()


def test_a_contour_is_interpolated_and_transposed_and_remembers_what_was_voiced() -> None:
    contour = Contour.of(np.array([0.0, 100, 0, 0, 400, 0]), -2, transpose=12)
    np.testing.assert_allclose(contour.hertz, [200, 200, 400, 600, 800, 800])
    assert contour.voiced.tolist() == [False, True, False, False, True, False]
    np.testing.assert_array_equal(contour.pitch, coarse_pitch(contour.hertz))
    np.testing.assert_allclose(contour.phase, [0, 2, 4, 8, 14, 22])
    assert contour.hertz.dtype == np.float32


def test_nothing_voiced_stays_without_pitch() -> None:
    contour = Contour.of(np.zeros(30), 0, transpose=5)
    hertz, pitch, voiced = contour.window(10, 20, 5)
    assert not hertz.any()
    assert not voiced.any()
    assert (pitch == 1).all()


def test_windows_are_in_step_with_the_whole() -> None:
    hertz = 150 + 50 * np.sin(np.arange(500) / 20)
    contour = Contour.of(hertz, -100, transpose=0)
    for start in (-100, -24, 0, 37, 251):
        given, _, _ = contour.window(start, 100, settle=10)
        own = contour.hertz[start + 100 :][:100]
        np.testing.assert_array_equal(given[10:], own[10:])
        assert np.abs(given - own).max() <= 5.001
        late = given[:10].astype(np.float64).sum() / 100 - contour.phase[start + 110]
        assert late == pytest.approx(round(late), abs=1e-5)
