"""Checkpoints and tensors of the reference implementation through Core ML packages, evaluated by the interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.backends.coreml.harness import FULL, HALF
from tests.compiler.families.rvc.test_synthesizer import SLOW_VOICES
from voxc import demo
from voxc.backends.coreml.backend import CoreMLBackend
from voxc.compiler.core.component import Component
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import load_targets
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision

ANE = load_targets()["apple-ane"]
DEMO_FRAMES = 100
Tensors = Mapping[str, np.ndarray]


def golden_pair(folder: Path, name: str) -> tuple[Program, Tensors, np.ndarray]:
    """The program for the Neural Engine, its inputs and noise, and the reference's audio."""
    vectors = load_file(folder / f"{name}.safetensors")
    (component,) = load_voice(VoiceFiles(folder / f"{name}.pth")).components
    inputs = {spec.name: vectors[f"input/{spec.name}"] for spec in component.inputs}
    frames = inputs["phone"].shape[1]
    draws = {f"noise/{place}": vectors[f"noise/{place}"] for place in range(3) if f"noise/{place}" in vectors}
    for spec in component.noise:
        key = next(key for key, array in draws.items() if array.shape == spec.bound_shape({"T": frames}))
        inputs[spec.name] = draws.pop(key)
    return lowered(component, frames), inputs, vectors["output/audio"]


def lowered(component: Component, frames: int) -> Program:
    program = export(component, {"T": frames}, dynamic=False)
    for compiler_pass in (*pipeline(ANE), AnnotatePrecision("fp16")):
        program = compiler_pass(program, ANE).program
    return program


def audio(folder: Path, program: Program, plan: PrecisionPlan, inputs: Tensors) -> np.ndarray:
    planned = AnnotatePrecision(plan=plan)(program, ANE).program
    artifact = CoreMLBackend().emit(planned, ANE, folder)
    return CoreMLBackend().load(artifact.files[0], 1).run(inputs)["audio"]


@pytest.mark.parametrize("name", SLOW_VOICES)
def test_golden_pairs(golden: Path, tmp_path: Path, name: str) -> None:
    program, inputs, expected = golden_pair(golden, name)
    exact, half, phase_in_half = (
        audio(tmp_path / part, program, plan, inputs)
        for part, plan in (("exact", FULL), ("half", program.plan), ("phase", HALF))
    )
    assert np.abs(exact - expected).max() <= 1e-3
    told = [f"{snr_db(expected, each):.1f} dB" for each in (exact, half, phase_in_half)]
    print(f"\n{name}: float32 {told[0]}, float16 {told[1]}, with the phase in float16 too {told[2]}")
    assert snr_db(expected, half) >= 35


@pytest.mark.parametrize("name", [name for name in SLOW_VOICES if "nof0" not in str(name)])
def test_the_source_of_golden_voices(golden: Path, tmp_path: Path, name: str) -> None:
    """The sine itself, which `test_the_phase_is_worth_its_float32` hears in the audio of another voice."""
    program, inputs, _ = golden_pair(golden, name)
    (sine,) = [node for node in program.graph.nodes if node.target is torch.ops.aten.sin.default]
    spec = program.outputs[0].model_copy(update={"name": "audio", "shape": tuple(sine.meta["val"].shape)})
    output = next(node for node in program.graph.nodes if node.op == "output")
    output.args = ((sine,),)
    program = replace(program, outputs=(spec,))
    exact, island, half = (
        audio(tmp_path / part, program, plan, inputs)
        for part, plan in (("exact", FULL), ("island", program.plan), ("half", HALF))
    )
    told = snr_db(exact, half)
    print(f"\n{name}, the sine alone: {snr_db(exact, island):.1f} dB, in float16 {told:.1f} dB")
    assert snr_db(exact, island) >= told + 20


def test_the_phase_is_worth_its_float32(tmp_path: Path) -> None:
    """On a voice that was trained. In the golden ones, of random weights, hardly anything of the source is heard:
    without it the audio is 31 to 47 dB from the reference, so that no harm to its phase can cost 20 dB."""
    folder = Path(demo.__file__).parent / "voice"
    component = load_voice(VoiceFiles(folder / "voice.pth")).components[-1]
    program = lowered(component, DEMO_FRAMES)
    inputs = component.reference_inputs({"T": DEMO_FRAMES})
    expected = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"].numpy()
    snr = [
        snr_db(expected, audio(tmp_path / name, program, plan, inputs))
        for name, plan in (("islands", program.plan), ("half", HALF))
    ]
    print(f"\ndemo voice: float16 {snr[0]:.1f} dB, with the phase in float16 too {snr[1]:.1f} dB")
    assert snr[0] >= 35
    assert snr[0] >= snr[1] + 20
