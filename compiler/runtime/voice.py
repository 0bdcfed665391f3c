"""The pipelines of voices and of bundles."""

from __future__ import annotations

from collections.abc import Mapping

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.runner import Runner
from voxc.compiler.runtime.component import load_backed
from voxc.compiler.runtime.fallback import Fallbacks
from voxc.compiler.runtime.noise import NoiseInput
from voxc.compiler.runtime.pipeline import Pipeline

NEEDED = {
    "content": "compile it again with a content encoder (--content DIR)",
    "synthesizer": "it is not a voice",
}
NOISE_UNIT = "sigma"


def load_pipeline(bundle: Bundle, threads: int | None = None, fallbacks: Fallbacks | None = None) -> Pipeline:
    """The networks of a bundle in their runtime, ready to convert recordings; with `fallbacks`, PyTorch stands behind
    each that has one.

    Raises:
        BundleError: it lacks a component that conversions need, or its files are not those of its manifest.
        MissingRuntimeError: the runtime is not installed.
        RecipeError: it was compiled for segments that cannot be cut into content frames.
    """
    build = bundle.manifest.build
    present = [component.name for component in build.components]
    for name, remedy in NEEDED.items():
        if name not in present:
            raise BundleError(f"{bundle.directory}: has no {name} component: {remedy}")
    frames = build.recipe.frames
    inputs = bundle.manifest.component("synthesizer").inputs
    runners = {name: load_backed(bundle, name, threads, fallbacks) for name in present}
    if fallbacks is not None:
        fallbacks.tell()
    return Pipeline(
        runners=runners,
        noise=tuple(NoiseInput.of(spec, frames) for spec in inputs if spec.unit == NOISE_UNIT),
        frames=frames,
        sample_rate=build.voice.sample_rate,
        hop=build.voice.hop,
        speakers=build.voice.speakers,
        uses_f0=build.voice.uses_f0,
    )


def pipeline_of(voice: VoiceModel, runners: Mapping[str, Runner], frames: int) -> Pipeline:
    """The pipeline of a voice whose components run on `runners`, on segments of `frames`.

    Raises:
        RecipeError: the voice lacks a component that conversions need, or `frames` cannot be cut into content frames.
    """
    noise = next(component.noise for component in voice.components if component.name == "synthesizer")
    return Pipeline(
        runners=runners,
        noise=tuple(NoiseInput.of(spec, frames) for spec in noise),
        frames=frames,
        sample_rate=voice.sample_rate,
        hop=voice.hop,
        speakers=voice.speakers,
        uses_f0=voice.uses_f0,
    )
