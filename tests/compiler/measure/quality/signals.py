"""Signals whose metrics are known."""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.tensor import Array

RATE = 16000


def hum(hertz: Array, rate: int = RATE) -> Array:
    """A buzz of ten falling harmonics whose pitch is `hertz` at each sample, as float32."""
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    audio = sum(np.sin(k * phase) / k for k in range(1, 11))
    return np.asarray(0.2 * audio, np.float32)


def glide(start: float = 120, end: float = 240, seconds: float = 2, rate: int = RATE) -> Array:
    """Pitch in Hz at each sample, rising by equal ratios."""
    return np.geomspace(start, end, round(seconds * rate))


def syllables(seconds: float = 4, rate: int = RATE) -> Array:
    """A gliding buzz in bursts of 0.2 s, which STOI and PESQ take for speech."""
    time = np.arange(round(seconds * rate)) / rate
    return np.asarray(hum(glide(110, 190, seconds, rate), rate) * np.sin(2 * np.pi * 2.5 * time) ** 2, np.float32)


def noise_like(audio: Array, decibels: float) -> Array:
    """White noise `decibels` below `audio`."""
    noise = np.random.default_rng(0).standard_normal(audio.shape)
    noise *= np.sqrt(np.mean(audio**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
    return noise.astype(np.float32)
