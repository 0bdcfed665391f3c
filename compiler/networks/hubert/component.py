"""A content encoder as a component of a voice."""

from __future__ import annotations

from voxc.compiler.core.axis import TIME, time_axis
from voxc.compiler.core.component import Component
from voxc.compiler.core.tensor import TensorSpec
from voxc.compiler.networks.audio_input import SAMPLE_RATE, audio_input, speech_like
from voxc.compiler.networks.hubert.network import HOP, WINDOW, HubertEncoder

FRAME_RATE = SAMPLE_RATE / HOP


def content_component(encoder: HubertEncoder, features: int) -> Component:
    """`encoder`, which gives `features` values a frame."""
    audio = audio_input(HOP, WINDOW)
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
