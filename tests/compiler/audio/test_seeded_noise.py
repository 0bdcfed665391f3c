from __future__ import annotations

import numpy as np
import pytest

from voxc.compiler.audio.seeded_noise import NoiseInput
from voxc.compiler.core.tensor import TensorSpec

LATENT = NoiseInput("prior_noise", (1, 4, 100), 2)
SOURCE = NoiseInput("source_noise", (1, 4000, 1), 1)


def test_specs() -> None:
    def spec(*shape: int | str) -> TensorSpec:
        return TensorSpec(name="noise", shape=shape, dtype="float32", unit="sigma", meaning="")

    assert NoiseInput.of(spec(1, 192, "T"), 192) == NoiseInput("noise", (1, 192, 192), 2)
    assert NoiseInput.of(spec(1, "400*T", 1), 10) == NoiseInput("noise", (1, 4000, 1), 1)
    assert NoiseInput.of(spec(1, 4000, 1), 10).axis == 1


@pytest.mark.parametrize("noise", [LATENT, SOURCE])
def test_the_same_place_has_the_same_noise(noise: NoiseInput) -> None:
    rate = noise.shape[noise.axis] // 100
    first, second = noise.draw(7, 0, -30, 100), noise.draw(7, 0, 33, 100)
    assert first.shape == noise.shape
    assert first.dtype == np.float32
    shared = first.swapaxes(noise.axis, -1)[..., 63 * rate :]
    np.testing.assert_array_equal(shared, second.swapaxes(noise.axis, -1)[..., : 37 * rate])


def test_seeds_and_draws_are_independent_and_normal() -> None:
    drawn = [SOURCE.draw(seed, stream, 0, 100).ravel() for seed, stream in ((0, 0), (0, 1), (1, 0), ((1 << 64) - 1, 0))]
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.06
    assert np.std(drawn) == pytest.approx(1, abs=0.02)
    assert np.mean(drawn) == pytest.approx(0, abs=0.03)
    far = SOURCE.draw(0, 0, 6400, 100).ravel()
    assert abs(np.corrcoef(drawn[0], far)[0, 1]) < 0.06
