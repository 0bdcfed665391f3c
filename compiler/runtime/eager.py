"""A voice's networks in eager float32 PyTorch, as runners: what every artifact is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from voxc.compiler.core.component import Component
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.runtime.pipeline import Pipeline
from voxc.compiler.runtime.voice import pipeline_of


@dataclass(frozen=True)
class EagerRunner(Runner):
    """A component on PyTorch's own kernels, with the threads that PyTorch has."""

    component: Component

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self.component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def eager_pipeline(voice: VoiceModel, frames: int) -> Pipeline:
    """The pipeline of a voice on segments of `frames`.

    Raises:
        RecipeError: the voice lacks a component that conversions need, or `frames` cannot be cut into content frames.
    """
    return pipeline_of(voice, {component.name: EagerRunner(component) for component in voice.components}, frames)
