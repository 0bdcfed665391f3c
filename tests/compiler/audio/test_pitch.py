from __future__ import annotations

from pathlib import Path

import numpy as np
import parselmouth
import pytest

from tests.compiler.runtime.standins import tone
from voxc.compiler.audio.pitch import Praat
from voxc.compiler.audio.scratch import Scratch

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
    # Of a tone whose period is a whole number of samples, both sides of that number are as good.
    np.testing.assert_allclose(estimate(sound), rvcs_pm(sound), rtol=1e-4)


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
