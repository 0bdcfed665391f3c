"""A component on its way through a compile: what all targets share of it, and what came out for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from voxc.compiler.bundle import REFERENCE_NAME
from voxc.compiler.core.component import Component
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Runner, Runtime
from voxc.compiler.core.tensor import Array, write_npz
from voxc.compiler.manifest import ComponentBuild, ComponentMeasurements, FileRecord
from voxc.compiler.request import Request


@dataclass(frozen=True)
class Part:
    """What all targets share of a component: its exported program, reference inputs and noise, and what float32
    PyTorch makes of them; `lengths` is the same for segments of further lengths. `fallback` is the program for
    PyTorch, which takes all these lengths, where bundles are to have it."""

    component: Component
    program: Program
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    lengths: tuple[Part, ...] = ()
    fallback: Program | None = None

    @classmethod
    def of(cls, component: Component, voice: VoiceModel, frames: int, request: Request) -> Part:
        def at(frames: int) -> Part:
            own = voice.frames_for(component, frames)
            inputs = component.reference_inputs(own)
            outputs = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
            arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
            return cls(component, export(component, own, request.dynamic), inputs, arrays)

        part = replace(at(frames), lengths=tuple(at(length) for length in request.lengths))
        if not request.fallback:
            return part
        whole = export(component, voice.frames_for(component, frames), True) if part.lengths else part.program
        return replace(part, fallback=whole)


@dataclass(frozen=True)
class Compiled:
    """One component for one target, ready to run in `runtime`; `failures` is what fell short, `searches` tells of its
    plan."""

    build: ComponentBuild
    plan: PrecisionPlan
    searches: tuple[FileRecord, ...]
    measurements: ComponentMeasurements
    runner: Runner
    runtime: Runtime
    failures: tuple[str, ...]


def write_references(staging: Path, parts: Sequence[Part]) -> FileRecord:
    path = staging / REFERENCE_NAME
    tensors = {
        f"{part.component.name}/{name}": array
        for part in parts
        for name, array in {**part.inputs, **part.outputs}.items()
    }
    write_npz(path, tensors)
    return FileRecord.of(staging, path)
