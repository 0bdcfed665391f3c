"""An RVC checkpoint as a model: the synthesizer's tensors, and inputs that look like speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from voxc.compiler.core.axis import TIME, Sizes, time_axis
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.families.model import Model, Task
from voxc.compiler.families.rvc.chain import RvcChain
from voxc.compiler.families.rvc.checkpoint import RvcCheckpoint, load_checkpoint
from voxc.compiler.families.rvc.config import MRF, REFINE_GAN, RvcConfig
from voxc.compiler.families.rvc.contour import coarse_pitch
from voxc.compiler.families.rvc.embedder import NAMED, embedder_warning
from voxc.compiler.families.rvc.files import DEFAULT_INDEX_BUDGET, VoiceFiles, demo_sample
from voxc.compiler.families.rvc.listening import APPLIO, in_words, listening_of
from voxc.compiler.families.rvc.mrf import HARMONICS
from voxc.compiler.families.rvc.refinegan import noise_shapes
from voxc.compiler.families.rvc.retrieval.component import retrieval_component
from voxc.compiler.families.rvc.retrieval.compress import compress, compression_figures
from voxc.compiler.families.rvc.retrieval.index import load_index
from voxc.compiler.families.rvc.settings import RvcSettings
from voxc.compiler.networks.hubert.component import FRAME_RATE, content_component
from voxc.compiler.networks.hubert.load import Listening, build_encoder, open_encoder
from voxc.compiler.networks.hubert.stored import Stored
from voxc.compiler.networks.rmvpe.component import rmvpe_component
from voxc.compiler.networks.rmvpe.file import load_rmvpe
from voxc.compiler.networks.rmvpe.network import Padding

#: How RMVPE gets whole steps of frames where a voice is from.
PADDING: Mapping[str, Padding] = {APPLIO: "reflect"}
SEED_SECONDS = 7.3  # how much later another seed begins


def load_voice(
    files: VoiceFiles, index_budget: float = DEFAULT_INDEX_BUDGET, content_layer: int | None = None
) -> Model:
    """The voice in an RVC checkpoint, with its F0 network, its content encoder and its index where there are such.
    `content_layer` is the layer of the encoder that the voice listens to, where that is not the usual one.

    Raises:
        CheckpointError: see `load_checkpoint`, `open_encoder` and `load_index`; or the files do not fit together.
        RecipeError: `index_budget`, in MiB, has no room for an index; or the encoder has no such layer.
    """
    checkpoint = load_checkpoint(files.checkpoint, files.config)
    config = checkpoint.config
    components, facts, warnings = beside(files, checkpoint, index_budget, content_layer)
    settings = RvcSettings(
        sample_rate=config.sample_rate,
        hop=config.hop,
        content_features=config.content_features,
        uses_f0=config.f0,
        speakers=config.speakers,
    )
    synthesizer = synthesizer_of(checkpoint)
    references = {speaker: (file,) for speaker, file in files.speakers}
    missing = "" if files.content else "give a content encoder with --content"
    return Model(
        family="rvc",
        components=(*components, synthesizer),
        files=files.digested(),
        depends=files.depends(),
        task=Task("conversion", files.sample or demo_sample(), references, missing),
        chain=partial(RvcChain.of, settings, synthesizer.noise),
        frame_rate=config.sample_rate / config.hop,
        sample_rate=config.sample_rate,
        settings=settings.model_dump(),
        warnings=(*checkpoint.warnings, *warnings),
        facts={
            "version": config.version,
            **checkpoint.facts,
            **facts,
            "parameters": sum(tensor.numel() for tensor in checkpoint.network.parameters()),
        },
    )


def beside(
    files: VoiceFiles, checkpoint: RvcCheckpoint, index_budget: float, content_layer: int | None
) -> tuple[list[Component], dict[str, str], list[str]]:
    """The networks beside the synthesizer in the order in which they work, facts about them, and warnings."""
    config, origin = checkpoint.config, str(checkpoint.facts["origin"])
    components: list[Component] = []
    facts: dict[str, str] = {}
    warnings: list[str] = []
    if files.rmvpe is not None and config.f0:
        components.append(rmvpe_component(load_rmvpe(files.rmvpe, PADDING.get(origin, "zeros"))))
    elif files.rmvpe is not None:
        warnings.append(f"{files.checkpoint}: was trained without pitch, and has no use for {files.rmvpe.name}")
    if files.content is not None:
        stored = open_encoder(files.content)
        listening = listening_of(config.version, origin, content_layer)
        components.append(content_for(stored, listening, config))
        facts["content_layer"] = in_words(listening, stored.config.num_hidden_layers)
        warnings += [*stored.warnings, *embedder_warnings(files, checkpoint)]
    if files.index is not None:
        components.append(retrieval_for(files.index, config, index_budget))
    return components, facts, warnings


def embedder_warnings(files: VoiceFiles, checkpoint: RvcCheckpoint) -> list[str]:
    """A warning if the content encoder is not the one that the checkpoint names."""
    warning = files.content and embedder_warning(checkpoint.facts.get(NAMED), files.content)
    return [f"{files.checkpoint}: {warning}"] if warning else []


def synthesizer_of(checkpoint: RvcCheckpoint) -> Component:
    config = checkpoint.config
    inputs, noise, audio = tensor_specs(config)
    return Component(
        name=RvcChain.last,
        module=checkpoint.network,
        inputs=inputs,
        noise=noise,
        outputs=(audio,),
        reference_inputs=partial(reference_inputs, config),
        axes=(time_axis(config.sample_rate / config.hop),),
        audio_rate=config.sample_rate,
    )


def content_for(stored: Stored, listening: Listening, config: RvcConfig) -> Component:
    """The content encoder, which must give what the voice was trained on, at half the voice's frame rate."""
    encoder = build_encoder(stored, listening)
    width = encoder.width
    if width != config.content_features:
        raise CheckpointError(
            f"{stored.path}: gives {width} features a frame, this {config.version} voice takes "
            f"{config.content_features}"
        )
    if config.sample_rate != 2 * FRAME_RATE * config.hop:
        raise CheckpointError(
            f"{stored.path}: gives {FRAME_RATE:g} frames a second; the voice needs half of its own "
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
    samples = f"{config.hop}*{TIME}"
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

    features = (1, TIME, config.content_features)
    phone = spec("phone", features, "float32", "1", "content features")
    pitch = spec("pitch", (1, TIME), "int64", "bin", "F0 on RVC's mel scale, 1 (unvoiced) to 255", (1, 255))
    nsff0 = spec("nsff0", (1, TIME), "float32", "Hz", "F0, 0 where unvoiced")
    sid = spec("sid", (1,), "int64", "1", f"speaker, 0 to {last}", (0, last))
    prior = spec(
        "prior_noise", (1, config.inter_channels, TIME), "float32", "sigma", "standard normal draw of the prior"
    )
    sines = HARMONICS if config.vocoder == MRF else 1
    source = spec("source_noise", (1, samples, sines), "float32", "sigma", "standard normal draw of the source")
    phase = spec("phase_noise", (1, 2, HARMONICS - 1), "float32", "sigma", "normal draw of the harmonics' first phases")
    phases = (phase,) if config.vocoder == MRF else ()
    added = tuple(
        spec(
            f"added_noise_{number}", (1, width, f"{rate}*{TIME}"), "float32", "sigma", "standard normal draw of a block"
        )
        for number, (width, rate) in enumerate(noise_shapes(config) if config.vocoder == REFINE_GAN else [])
    )
    audio = spec("audio", (1, 1, samples), "float32", "full scale", f"waveform at {config.sample_rate} Hz")
    if config.f0:
        return (phone, pitch, nsff0, sid), (prior, *phases, source, *added), audio
    return (phone, sid), (prior,), audio


def reference_inputs(config: RvcConfig, sizes: Sizes, seed: int = 0) -> dict[str, Array]:
    """Inputs and noise of one segment: a voice that glides over two octaves and falls silent between phrases.

    Seeds have other features and noise, and another stretch of an endless glide.
    """
    inputs, noise, _ = tensor_specs(config)
    random = np.random.default_rng(seed)
    time = np.arange(sizes[TIME]) / 100 + SEED_SECONDS * seed
    voiced = np.sin(2 * np.pi * 0.8 * time + 0.5) > -0.8
    hertz = np.where(voiced, 220 * 2 ** np.sin(2 * np.pi * 0.31 * time), 0).astype(np.float32)[np.newaxis]
    given = {"nsff0": hertz, "pitch": coarse_pitch(hertz), "sid": np.zeros(1, np.int64)}
    return {
        spec.name: given[spec.name]
        if spec.name in given
        else random.standard_normal(spec.bound_shape(sizes), dtype=np.float32)
        for spec in inputs + noise
    }
