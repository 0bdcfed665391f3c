"""Checkpoints and tensors of the reference implementation through kits for every target of TensorRT."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt.backend import TensorRTBackend, version_of
from voxc.backends.tensorrt.legality import Reading, complaints
from voxc.backends.tensorrt.precisions import Profile, precisions_file, read_precisions
from voxc.backends.tensorrt.table import tables_for
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision

TARGETS = {name: target for name, target in load_targets().items() if target.backend == "tensorrt"}
#: One of each version and opset; the others get the same files.
DISTINCT = {(target.tensorrt, target.opset): target for target in TARGETS.values()}.values()
#: Voices, and whether with open lengths; those that take long are slow.
PAIRS = (
    ("rvc_v2_40k_f0", False),
    ("rvc_v2_40k_nof0", True),
    *(pytest.param(name, False, marks=pytest.mark.slow) for name in ("rvc_v1_40k_f0", "rvc_v2_40k_nof0")),
    *(pytest.param("rvc_v2_48k_f0", dynamic, marks=pytest.mark.slow) for dynamic in (False, True)),
)


def golden_pair(
    folder: Path, name: str, target: Target, *, dynamic: bool = False
) -> tuple[Program, dict[str, Array], Array]:
    """The program for a target with its default plan, its inputs and noise, and the reference's audio; if `dynamic`,
    exported at fewer frames than those have, and for any number."""
    program, inputs, audio = exported_pair(folder, name, dynamic)
    for compiler_pass in (*pipeline(target), AnnotatePrecision(target.default_precision)):
        program = compiler_pass(program, target).program
    return program, dict(inputs), audio


@cache
def exported_pair(folder: Path, name: str, dynamic: bool) -> tuple[Program, dict[str, Array], Array]:
    """What all targets have in common."""
    vectors = load_file(folder / f"{name}.safetensors")
    (component,) = load_voice(VoiceFiles(folder / f"{name}.pth")).components
    inputs = {spec.name: vectors[f"input/{spec.name}"] for spec in component.inputs}
    frames = inputs["phone"].shape[1]
    draws = {f"noise/{place}": vectors[f"noise/{place}"] for place in range(3) if f"noise/{place}" in vectors}
    for spec in component.noise:
        key = next(key for key, array in draws.items() if array.shape == spec.bound_shape({"T": frames}))
        inputs[spec.name] = draws.pop(key)
    return export(component, {"T": frames - 7 if dynamic else frames}, dynamic), inputs, vectors["output/audio"]


def test_versions_and_opsets() -> None:
    assert {name: (target.tensorrt, target.opset) for name, target in TARGETS.items()} == {
        "jetson-nano": ("8.2.1", 13),
        "jetson-orin-nano-jp5": ("8.5.2", 17),
        "jetson-orin-nano-jp6": ("10.3.0", 20),
        "jetson-orin-nx": ("10.3.0", 20),
        "jetson-agx-orin": ("10.3.0", 20),
        "jetson-xavier-nx": ("8.5.2", 17),
        "tensorrt": (None, 13),
    }


@pytest.mark.parametrize("target", DISTINCT, ids=lambda target: target.name)
@pytest.mark.parametrize(("name", "dynamic"), PAIRS)
def test_golden_pairs(golden: Path, tmp_path: Path, name: str, target: Target, dynamic: bool) -> None:
    """Valid at the target's opset, legal by the table of its version, and the numbers are the reference's; also at
    another length than that which a file was made at, with as much held to float32."""
    program, inputs, expected = golden_pair(golden, name, target, dynamic=dynamic)
    TensorRTBackend().check(program, target)
    artifact = TensorRTBackend().emit(program, target, tmp_path)
    model = onnx.load(artifact.files[0])
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import] == [target.opset]
    for table in tables_for(version_of(target)):
        assert not list(complaints(Reading(model), table))
        assert {node.op_type for node in model.graph.node} <= set(table.operators)
    found = OnnxRuntimeRunner(artifact.files[0], 1).run(inputs)["audio"]
    assert np.abs(found - expected).max() <= 1e-3
    recipe = read_precisions(precisions_file(artifact.files[0]))
    assert recipe.default == "fp16"
    assert list(recipe.layers) == [node.name for node in model.graph.node if node.name in recipe.layers]
    sines = [node.name for node in model.graph.node if node.op_type in ("Sin", "Floor")]
    assert all(recipe.layers[node] == "fp32" for node in sines)
    assert bool(sines) == ("nof0" not in name)
    assert not any(node.op_type == "CumSum" for node in model.graph.node)
    assert sorted(recipe.profiles) == sorted(spec.name for spec in program.inputs if spec.name != "sid" and dynamic)
    for spec in program.inputs:
        if spec.name in recipe.profiles:
            assert recipe.profiles[spec.name] == Profile(
                min=spec.bound_shape({"T": 2}),
                opt=spec.bound_shape({"T": program.frames}),
                max=spec.bound_shape({"T": program.frames}),
            )
