from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from voxc.compiler.audio import filter as module
from voxc.compiler.audio.filter import STRIDE, ZeroPhaseHighPass, high_pass


def in_blocks(sound: np.ndarray, size: int) -> np.ndarray:
    high_pass = ZeroPhaseHighPass()
    pieces = [high_pass.push(sound[start : start + size]) for start in range(0, len(sound), size)]
    return np.concatenate([*pieces, high_pass.finish()])


@pytest.mark.parametrize(
    ("length", "size"), [(1, 1), (2, 1), (18, 5), (19, 19), (20, 3), (1000, 7), (200_000, 4096), (200_000, 200_000)]
)
def test_equals_filtfilt_over_the_whole_signal(length: int, size: int) -> None:
    random = np.random.default_rng(length)
    sound = (0.3 + 0.2 * np.sin(np.arange(length) / 3000) + 0.1 * random.standard_normal(length)).astype(np.float32)
    taps = signal.butter(5, 48, "high", fs=16000)
    expected = signal.filtfilt(*taps, sound.astype(np.float64), padlen=min(18, length - 1))
    found = in_blocks(sound, size)
    assert len(found) == length
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("length", [1, STRIDE - 1, STRIDE, 3 * STRIDE, 5 * STRIDE + 7])
def test_equals_second_order_sections_whatever_the_strides(length: int) -> None:
    sound = np.random.default_rng(length).standard_normal(2 * length)
    sections = signal.butter(5, 48, "high", fs=16000, output="sos")
    expected, _ = signal.sosfilt(sections, sound, zi=signal.sosfilt_zi(sections) * sound[0])
    first, state = high_pass().run(sound[:length], high_pass().steady * sound[0])
    second, _ = high_pass().run(sound[length:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), expected, atol=1e-11)


def test_no_samples() -> None:
    assert len(in_blocks(np.zeros(0), 1)) == 0


def test_the_look_ahead_is_long_enough_for_what_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hum vanishes but for the ends of the recording; with a short look-ahead, each block would end with some."""
    sound = np.sin(2 * np.pi * 10 * np.arange(200_000) / 16000).astype(np.float32)
    inside = slice(10_000, -10_000)
    assert np.abs(in_blocks(sound, 1 << 16)[inside]).max() < 1e-6
    monkeypatch.setattr(module, "LOOKAHEAD", 100)
    assert np.abs(in_blocks(sound, 1 << 16)[inside]).max() > 1e-5
