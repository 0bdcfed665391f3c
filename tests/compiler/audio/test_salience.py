from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from voxc.compiler.audio.pitch import FRAME
from voxc.compiler.audio.salience import DECODERS, WINDOW, LocalMean, NetworkEstimator
from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.core.tensor import Array

FIRST, WIDTH, BINS = 1997.3794084376191, 20.0, 360


@pytest.mark.parametrize("threshold", [0.03, 0.3])
def test_equals_rmvpe(golden: Path, threshold: float) -> None:
    arrays = load_file(golden / "rmvpe_decode.safetensors")
    result = LocalMean(threshold=threshold).hertz(arrays["input/hidden"])
    np.testing.assert_allclose(result, arrays[f"output/f0_thred_{threshold}"], rtol=1e-5)


def test_edges_and_silence() -> None:
    salience = np.zeros((4, BINS), np.float32)
    salience[1, 0] = salience[2, BINS - 1] = 0.5
    salience[3, 100:102] = 0.25
    cents = FIRST + WIDTH * np.array([0, BINS - 1, 100.5])
    np.testing.assert_allclose(LocalMean().hertz(salience), [0, *10 * 2 ** (cents / 1200)])


class Ear:
    """A network that hears each frame alone: the bin is its first sample, in hundredths."""

    def __init__(self, frames: int) -> None:
        self.frames, self.runs = frames, 0

    def hand_on(self, inputs: dict[str, Array]) -> dict[str, Array]:
        (audio,) = inputs.values()
        assert audio.shape == (1, FRAME * self.frames + WINDOW - FRAME)
        self.runs += 1
        centres = audio[0, WINDOW // 2 :: FRAME][: self.frames]
        salience = np.zeros((1, self.frames, BINS), np.float32)
        salience[0, np.arange(self.frames), np.rint(centres * 100).astype(int)] = 1
        return {"salience": salience}


@pytest.mark.parametrize("count", [1, 40, 100, 101, 1000])
@pytest.mark.parametrize("frames", [40, 100, 400])
def test_windows_are_heard_as_the_whole_is(frames: int, count: int) -> None:
    bins = np.random.default_rng(0).integers(0, BINS, 1200)
    with Scratch(None) as audio:
        audio.append(np.repeat(bins / 100, FRAME).astype(np.float32))
        ear, done = Ear(frames), []
        estimator = NetworkEstimator(ear, frames, DECODERS["rmvpe"])  # type: ignore[arg-type]
        hertz = estimator.contour(audio, 50, count, lambda *progress: done.append(progress))
    np.testing.assert_allclose(hertz, 10 * 2 ** ((FIRST + WIDTH * bins[50 : 50 + count]) / 1200))
    assert done[-1] == (count / 100, count / 100)
    assert ear.runs <= 2 * count // frames + 1


def test_frames_before_and_after_are_those_of_the_reflection() -> None:
    with Scratch(None) as audio:
        audio.append(np.repeat(np.arange(10) / 100, FRAME).astype(np.float32))
        hertz = NetworkEstimator(Ear(40), 40, DECODERS["rmvpe"]).contour(audio, -3, 16, lambda *_: None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(hertz[3:13], np.sort(hertz[3:13]))
    assert hertz[0] == hertz[6]
    assert hertz[15] == hertz[10]
