"""From a component to its part of the work: exported, with the reference that everything is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.cache.programs import load_program, save_program
from voxc.compiler.core.axis import Sizes
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import export
from voxc.compiler.core.tensor import read_npz, write_npz
from voxc.compiler.stages.work import Part

PROGRAM, INPUTS, OUTPUTS = "program", "inputs.npz", "outputs.npz"


def export_part(component: Component, sizes: Sizes, dynamic: bool, keeper: Keeper) -> Part:
    """The part of a component with axes of these lengths, open ones if `dynamic`; kept by `keeper`.

    Raises:
        CompileError: torch.export cannot trace it.
    """
    own = keeper.on("export", component.name, dict(sizes), dynamic)

    def make() -> Part:
        inputs = component.reference_inputs(sizes)
        outputs = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
        arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
        return Part(component, export(component, sizes, dynamic), inputs, arrays)

    def load(folder: Path) -> Part:
        program = load_program(folder / PROGRAM)
        return Part(component, program, read_npz(folder / INPUTS), read_npz(folder / OUTPUTS))

    return replace(own.keep("exports", make, save_part, load), key=own.key)


def save_part(part: Part, folder: Path) -> None:
    (folder / PROGRAM).mkdir()
    save_program(part.program, folder / PROGRAM)
    write_npz(folder / INPUTS, part.inputs)
    write_npz(folder / OUTPUTS, part.outputs)
