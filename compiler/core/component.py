"""A component: one exportable network of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from voxc.compiler.core.axis import Axis, Sizes, time_axis
from voxc.compiler.core.draws import ReplayNoise
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.tensor import Array, TensorSpec


class ReferenceInputs(Protocol):
    """Representative inputs and noise, by name, for axes of some lengths; the same seed gives the same arrays.

    Fidelity is measured on those of seed 0; calibration uses others.
    """

    def __call__(self, sizes: Sizes, seed: int = 0) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Component:
    """One exportable network of a model.

    `module` takes `inputs` in order and draws `noise` in order; every draw is standard normal. `axes` are what the
    shapes of its tensors depend on. `audio_rate` is in Hz where the output is audio. It runs `steps` times for each
    segment. `figures` are what making the network has measured.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    noise: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reference_inputs: ReferenceInputs
    axes: tuple[Axis, ...] = (time_axis(100.0),)
    audio_rate: int | None = None
    steps: int = 1
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def frame_rate(self) -> float | None:
        """Frames a second of its time axis; None without one."""
        return next((axis.rate for axis in self.axes if axis.rate is not None), None)

    def run(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Eager float32 PyTorch on `tensors` (inputs and noise by name)."""
        draws = [tensors[spec.name] for spec in self.noise]
        with torch.inference_mode(), ReplayNoise(draws):
            return named(self.outputs, self.module(*(tensors[spec.name] for spec in self.inputs)))


def named(specs: tuple[TensorSpec, ...], outputs: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
    values = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return {spec.name: value for spec, value in zip(specs, values, strict=True)}
