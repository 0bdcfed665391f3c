from __future__ import annotations

import itertools

import numpy as np
import pytest

from voxc.compiler.audio.windows import FADE, Joiner, context_of, cover

HOP = 10


@pytest.mark.parametrize("length", [16, 30, 100, 200, 400])
@pytest.mark.parametrize("frames", [1, 2, 5, 99, 100, 151, 152, 153, 1000, 4321])
def test_windows_cover_the_recording_once_and_with_context(frames: int, length: int) -> None:
    windows = cover(frames, length)
    context = context_of(length)
    assert context % 2 == 0
    assert windows[0].begin == 0
    assert windows[-1].end == frames + frames % 2
    assert all(before.end == after.begin for before, after in itertools.pairwise(windows))
    for window in windows:
        assert window.start % 2 == 0
        assert window.start <= window.begin - context
        assert window.end + context <= window.start + length
        assert window.end - window.begin >= FADE // 2


def test_reflections_reach_no_further_than_the_context() -> None:
    assert all(window.start >= -12 and window.start + 100 <= 1000 + 12 for window in cover(1000, 100))


@pytest.mark.parametrize("frames", [2, 52, 54, 1000])
def test_agreeing_windows_are_joined_without_a_trace(frames: int) -> None:
    signal = np.random.default_rng(0).standard_normal((frames + 400) * HOP).astype(np.float32)
    windows, joiner = cover(frames, 100), Joiner(HOP)
    joined = [
        joiner.join(window, signal[(window.start + 200) * HOP :][: 100 * HOP], last=window is windows[-1])
        for window in windows
    ]
    np.testing.assert_allclose(np.concatenate(joined), signal[200 * HOP :][: frames * HOP], atol=1e-6)


def test_windows_that_disagree_fade_over() -> None:
    windows, joiner = cover(152, 100), Joiner(HOP)
    joined = np.concatenate(
        [
            joiner.join(window, np.full(100 * HOP, index, np.float32), index == 1)
            for index, window in enumerate(windows[:2])
        ]
    )
    assert np.diff(joined).max() <= 1.01 / (FADE * HOP)
    assert joined[76 * HOP - FADE * HOP // 2 - 1] == 0
    assert joined[76 * HOP + FADE * HOP // 2] == 1
