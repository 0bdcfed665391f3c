"""What a package tells people about itself: Xcode and MLModel show it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import TensorSpec

#: Keys of the user's own metadata, as other tools write theirs.
COMPUTE_UNITS, FRAMES, DEPLOYMENT = "voxc.compute_units", "voxc.frames", "voxc.deployment"
LICENCE = "That of the voice's checkpoint; the compiler adds no terms of its own."


def describe(model: Any, functions: Mapping[str, Program], target: Target, deployment: str) -> None:
    """Fills the descriptions of a model, whose functions are in the order of `functions`."""
    program = next(iter(functions.values()))
    about = model.description
    features = list(about.functions) or [about]
    for each, described in zip(functions.values(), features, strict=True):
        for specs, given in ((each.inputs, described.input), (each.outputs, described.output)):
            for spec, feature in zip(specs, given, strict=True):
                assert spec.name == feature.name
                feature.shortDescription = told(spec)
    version = metadata.version("voxc")
    frames = ", ".join(str(each.frames) for each in functions.values())
    about.metadata.shortDescription = (
        f"{program.name} of a voice for segments of {frames} frames, compiled for {target.name}"
    )
    about.metadata.author = f"Made from the voice's checkpoint by voxc {version}"
    about.metadata.license = LICENCE
    about.metadata.versionString = version
    own = {COMPUTE_UNITS: target.compute_units or "", FRAMES: frames, DEPLOYMENT: deployment}
    for key in sorted(own):
        about.metadata.userDefined[key] = own[key]


def told(spec: TensorSpec) -> str:
    """A tensor's meaning and unit: `fundamental frequency (Hz)`."""
    return spec.meaning if spec.unit in ("", "1") else f"{spec.meaning} ({spec.unit})"
