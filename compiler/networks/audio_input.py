"""Audio as networks of voices hear it."""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.axis import TIME
from voxc.compiler.core.tensor import Array, TensorSpec

SAMPLE_RATE = 16000
SEED_SECONDS = 7.3  # how much later another seed begins


def audio_input(hop: int, window: int) -> TensorSpec:
    """The input of a network whose frames are `hop` samples apart, and each from `window` samples."""
    return TensorSpec(
        name="audio",
        shape=(1, f"{hop}*{TIME}+{window - hop}"),
        dtype="float32",
        unit="full scale",
        meaning=f"mono waveform at {SAMPLE_RATE} Hz",
    )


def speech_like(shape: tuple[int, ...], seed: int) -> Array:
    """A gliding harmonic tone that falls silent four times a second, with noise under it; seeds are stretches of it."""
    random = np.random.default_rng(seed)
    time = np.arange(shape[-1]) / SAMPLE_RATE + SEED_SECONDS * seed
    phase = 2 * np.pi * np.cumsum(150 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * time))) / SAMPLE_RATE
    tone = sum(np.sin(number * phase) / number for number in range(1, 20))
    loudness = np.clip(np.sin(2 * np.pi * 4 * time) + 0.5, 0, None)
    wave = 0.1 * loudness * tone + 0.01 * random.standard_normal(time.shape)
    return wave.astype(np.float32).reshape(shape)
