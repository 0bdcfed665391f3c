"""A model's networks in eager float32 PyTorch, as runners: what every artifact is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.model import Model
from voxc.compiler.runtime.pipeline import Pipeline


@dataclass(frozen=True)
class EagerRunner(Runner):
    """A component on PyTorch's own kernels, with the threads that PyTorch has."""

    component: Component

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self.component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def eager_pipeline(model: Model, frames: int) -> Pipeline:
    """The pipeline of a model on segments of `frames`.

    Raises:
        RecipeError: see `pipeline_of`.
    """
    return pipeline_of(model, {component.name: EagerRunner(component) for component in model.components}, frames)


def pipeline_of(model: Model, runners: Mapping[str, Runner], frames: int) -> Pipeline:
    """The pipeline of a model whose components run on `runners`, on segments of `frames`.

    Raises:
        RecipeError: the model has nothing to convert or lacks a component, or its chain takes no such segments.
    """
    if model.chain is None:
        raise RecipeError(f"a {model.family} model has nothing to convert")
    return Pipeline(model.chain(frames), runners)
