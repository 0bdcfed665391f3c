from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import torch

from tests.backends.coreml.harness import component_for, emit, gpu, program_for
from voxc.backends.coreml import emitter
from voxc.backends.coreml.package import read_program


def test_a_package_tells_what_it_is(tmp_path: Path) -> None:
    program = program_for(component_for(torch.sin, (1, "T")))
    about = read_program(emit(tmp_path, program)).metadata
    assert about["shortDescription"] == "test of a voice for segments of 12 frames, compiled for apple-gpu"
    assert about["author"] == f"Made from the voice's checkpoint by voxc {metadata.version('voxc')}"
    assert about["license"].startswith("That of the voice's checkpoint")
    assert about["versionString"] == metadata.version("voxc")
    assert (about["voxc.compute_units"], about["voxc.frames"], about["voxc.deployment"]) == (
        "CPU_AND_GPU", "12", "iOS17"
    )  # fmt: skip


def test_inputs_and_outputs_have_their_meaning_and_unit_in_every_function(tmp_path: Path) -> None:
    component = component_for(torch.sin, (1, "T"), output=(1, "T"))
    programs = []
    for frames in (12, 8):
        program = program_for(component, frames=frames)
        pitch = program.inputs[0].model_copy(update={"unit": "Hz", "meaning": "fundamental frequency"})
        programs.append(replace(program, inputs=(pitch,)))
    package = tmp_path / "two.mlpackage"
    emitter.emit(programs[0], gpu(), package, programs[1:])
    for function in read_program(package).functions.values():
        assert [feature.description for feature in function.inputs] == ["fundamental frequency (Hz)"]
        assert [feature.description for feature in function.outputs] == ["test"]
