"""A content encoder as a component of a voice."""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.axis import TIME, time_axis
from voxc.compiler.core.component import Component
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.networks.hubert.network import HOP, SAMPLE_RATE, WINDOW, HubertEncoder

FRAME_RATE = SAMPLE_RATE / HOP
SEED_SECONDS = 7.3  # how much later another seed begins


def content_component(encoder: HubertEncoder, features: int) -> Component:
    """`encoder`, which gives `features` values a frame."""
    audio = TensorSpec(
        name="audio",
        shape=(1, f"{HOP}*{TIME}+{WINDOW - HOP}"),
        dtype="float32",
        unit="full scale",
        meaning=f"mono waveform at {SAMPLE_RATE} Hz",
    )
    found = TensorSpec(
        name="features",
        shape=(1, TIME, features),
        dtype="float32",
        unit="1",
        meaning=f"content features, {FRAME_RATE:g} a second, the first from samples 0 to {WINDOW - 1}",
    )
    return Component(
        name="content",
        module=encoder,
        inputs=(audio,),
        noise=(),
        outputs=(found,),
        reference_inputs=lambda sizes, seed=0: {"audio": speech_like(audio.bound_shape(sizes), seed)},
        axes=(time_axis(FRAME_RATE),),
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
