from __future__ import annotations

import numpy as np
import pytest
import torch

from voxc.compiler.audio.loudness import Loudness, mixing_gain


def rms_as_librosa(sound: np.ndarray, rate: int) -> np.ndarray:
    half = rate // 2
    padded = np.pad(sound.astype(np.float64), half)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[::half]
    return np.sqrt(np.square(frames).mean(axis=1))


def stretch_as_torch(contour: np.ndarray, samples: int) -> np.ndarray:
    stretched = torch.nn.functional.interpolate(torch.from_numpy(contour)[None, None], size=samples, mode="linear")
    return stretched[0, 0].numpy()


@pytest.mark.parametrize("seconds", [0.0001, 0.2, 0.5, 1.3, 3.0, 7.77])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_equals_rvcs_change_rms(seconds: float, share: float) -> None:
    random = np.random.default_rng(3)
    source, result = (
        (random.standard_normal(max(1, round(seconds * rate))) * np.linspace(0.01, 0.5, max(1, round(seconds * rate))))
        for rate in (16000, 4001)
    )
    expected = (
        stretch_as_torch(rms_as_librosa(source, 16000), len(result)) ** (1 - share)
        * np.maximum(stretch_as_torch(rms_as_librosa(result, 4001), len(result)), 1e-6) ** (share - 1)
    )  # fmt: skip

    heard, spoken = Loudness(16000), Loudness(4001)
    for start in range(0, len(source), 777):
        heard.push(source[start : start + 777])
    for start in range(0, len(result), 5000):
        spoken.push(result[start : start + 5000])
    pieces = [
        mixing_gain(heard.contour(), spoken.contour(), share, start, min(333, len(result) - start), len(result))
        for start in range(0, len(result), 333)
    ]
    np.testing.assert_allclose(np.concatenate(pieces), expected, rtol=1e-5)


def test_silence_takes_on_no_loudness_and_gives_none() -> None:
    gain = mixing_gain(np.zeros(3), np.array([0.1, 0.2, 0.1]), 0.25, 0, 1000, 1000)
    np.testing.assert_array_equal(gain, 0)
    assert np.isfinite(mixing_gain(np.ones(3), np.zeros(3), 0.0, 0, 1000, 1000)).all()
