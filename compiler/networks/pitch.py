"""What F0 networks have in common as components: 16 kHz audio in, a salience for each frame of 10 ms out."""

from __future__ import annotations

from torch import nn

from voxc.compiler.core.axis import TIME, time_axis
from voxc.compiler.core.component import Component
from voxc.compiler.core.tensor import TensorSpec
from voxc.compiler.networks.audio_input import SAMPLE_RATE, audio_input, speech_like
from voxc.compiler.networks.mel import HOP, WINDOW

FRAME_RATE = SAMPLE_RATE / HOP


def pitch_component(name: str, network: nn.Module, bins: int) -> Component:
    """`network`, which gives `bins` values a frame."""
    audio = audio_input(HOP, WINDOW)
    salience = TensorSpec(
        name="salience",
        shape=(1, TIME, bins),
        dtype="float32",
        unit="1",
        meaning=f"how likely F0 is in each bin of 20 cents, 0 to 1; {FRAME_RATE:g} frames a second, the first from "
        f"samples 0 to {WINDOW - 1}",
    )
    return Component(
        name=name,
        module=network,
        inputs=(audio,),
        noise=(),
        outputs=(salience,),
        reference_inputs=lambda sizes, seed=0: {"audio": speech_like(audio.bound_shape(sizes), seed)},
        axes=(time_axis(FRAME_RATE),),
    )
