"""An RVC checkpoint as a VoiceModel: the synthesizer's tensors, and inputs that look like speech."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from voxc.compiler.content.component import FRAME_RATE, content_component
from voxc.compiler.content.directory import load_encoder
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.tensor import FRAMES, Array, TensorSpec
from voxc.compiler.families.rvc.checkpoint import load_checkpoint
from voxc.compiler.families.rvc.config import RvcConfig
from voxc.compiler.retrieval.component import retrieval_component
from voxc.compiler.retrieval.compress import compress, compression_figures
from voxc.compiler.retrieval.index import load_index
from voxc.compiler.voice_files import VoiceFiles

SUFFIXES = frozenset({".pth", ".pt"})
F0_RANGE = (50.0, 1100.0)
SEED_SECONDS = 7.3  # how much later another seed begins


def load_voice(files: VoiceFiles, index_budget: float) -> VoiceModel:
    """The voice in an RVC checkpoint, with its content encoder and its index where there are such.

    Raises:
        CheckpointError: see `load_checkpoint`, `load_encoder` and `load_index`; or the files do not fit together.
        RecipeError: `index_budget`, in MiB, has no room for an index.
    """
    checkpoint = load_checkpoint(files.checkpoint)
    config = checkpoint.config
    components = []
    if files.content is not None:
        components.append(content_for(files.content, config))
    if files.index is not None:
        components.append(retrieval_for(files.index, config, index_budget))
    inputs, noise, audio = tensor_specs(config)
    synthesizer = Component(
        name="synthesizer",
        module=checkpoint.network,
        inputs=inputs,
        noise=noise,
        outputs=(audio,),
        reference_inputs=partial(reference_inputs, config),
        frame_rate=config.sample_rate / config.hop,
        audio_rate=config.sample_rate,
    )
    return VoiceModel(
        family="rvc",
        components=(*components, synthesizer),
        sample_rate=config.sample_rate,
        hop=config.hop,
        content_features=config.content_features,
        uses_f0=config.f0,
        speakers=config.speakers,
        facts={
            "version": config.version,
            "info": checkpoint.info,
            "parameters": sum(tensor.numel() for tensor in checkpoint.network.parameters()),
        },
    )


def content_for(directory: Path, config: RvcConfig) -> Component:
    """The content encoder, which must give what the voice was trained on, at half the voice's frame rate."""
    encoder = load_encoder(directory, config.version)
    width = encoder.width
    if width != config.content_features:
        raise CheckpointError(
            f"{directory}: gives {width} features a frame, this {config.version} voice takes {config.content_features}"
        )
    if config.sample_rate != 2 * FRAME_RATE * config.hop:
        raise CheckpointError(
            f"{directory}: gives {FRAME_RATE:g} frames a second; the voice needs half of its own "
            f"{config.sample_rate / config.hop:g}"
        )
    return content_component(encoder, width)


def retrieval_for(path: Path, config: RvcConfig, budget: float) -> Component:
    """The index, compressed where it is larger than `budget` MiB."""
    index = load_index(path, config.content_features)
    kept = compress(index.vectors, round(budget * (1 << 20)))
    component = retrieval_component(kept.vectors, config.content_features)
    return replace(component, figures=compression_figures(index.vectors, kept))


def tensor_specs(config: RvcConfig) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], TensorSpec]:
    """Inputs, noise in the order drawn, and the output."""
    samples = f"{config.hop}*{FRAMES}"
    last = config.speakers - 1

    def spec(
        name: str,
        shape: tuple[int | str, ...],
        dtype: str,
        unit: str,
        meaning: str,
        bounds: tuple[int, int] | None = None,
    ) -> TensorSpec:
        return TensorSpec(name=name, shape=shape, dtype=dtype, unit=unit, meaning=meaning, bounds=bounds)

    features = (1, FRAMES, config.content_features)
    phone = spec("phone", features, "float32", "1", "content features")
    pitch = spec("pitch", (1, FRAMES), "int64", "bin", "F0 on RVC's mel scale, 1 (unvoiced) to 255", (1, 255))
    nsff0 = spec("nsff0", (1, FRAMES), "float32", "Hz", "F0, 0 where unvoiced")
    sid = spec("sid", (1,), "int64", "1", f"speaker, 0 to {last}", (0, last))
    prior = spec(
        "prior_noise", (1, config.inter_channels, FRAMES), "float32", "sigma", "standard normal draw of the prior"
    )
    source = spec("source_noise", (1, samples, 1), "float32", "sigma", "standard normal draw of the source")
    audio = spec("audio", (1, 1, samples), "float32", "full scale", f"waveform at {config.sample_rate} Hz")
    if config.f0:
        return (phone, pitch, nsff0, sid), (prior, source), audio
    return (phone, sid), (prior,), audio


def reference_inputs(config: RvcConfig, frames: int, seed: int = 0) -> dict[str, Array]:
    """Inputs and noise of one segment: a voice that glides over two octaves and falls silent between phrases.

    Seeds have other features and noise, and another stretch of an endless glide.
    """
    inputs, noise, _ = tensor_specs(config)
    random = np.random.default_rng(seed)
    time = np.arange(frames) / 100 + SEED_SECONDS * seed
    voiced = np.sin(2 * np.pi * 0.8 * time + 0.5) > -0.8
    hertz = np.where(voiced, 220 * 2 ** np.sin(2 * np.pi * 0.31 * time), 0).astype(np.float32)[np.newaxis]
    given = {"nsff0": hertz, "pitch": coarse_pitch(hertz), "sid": np.zeros(1, np.int64)}
    return {
        spec.name: given[spec.name]
        if spec.name in given
        else random.standard_normal(spec.sizes(frames), dtype=np.float32)
        for spec in inputs + noise
    }


def coarse_pitch(hertz: Array) -> Array:
    """F0 in Hz as RVC's pitch bins: the mel scale between 50 and 1100 Hz in 1 ... 255, unvoiced as 1."""
    low, high = (1127 * np.log(1 + edge / 700) for edge in F0_RANGE)
    mel = 1127 * np.log(1 + hertz / 700)
    bins = np.where(mel > 0, (mel - low) * 254 / (high - low) + 1, 1)
    return np.rint(np.clip(bins, 1, 255)).astype(np.int64)
