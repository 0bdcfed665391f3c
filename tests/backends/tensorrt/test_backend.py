from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.backends.onnx.test_quantization import BLOCKS, quantized
from tests.backends.tensorrt.test_golden import DISTINCT, TARGETS
from tests.conftest import Voxc
from tests.passes.harness import component_of, program_of, tensors_for
from voxc.backends.onnx import emitter
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt import backend as module
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.placement import placements
from voxc.backends.tensorrt.precisions import precisions_file, read_precisions
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.compiler.device.pack import NAME, pack
from voxc.compiler.families.rvc.files import find_voice
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.manifest import read_manifest
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.simplify.clean_up import CleanUp

NANO, JP5, JP6, ANY = (
    TARGETS[name] for name in ("jetson-nano", "jetson-orin-nano-jp5", "jetson-orin-nano-jp6", "tensorrt")
)
BACKEND = TensorRTBackend()


class Outer(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inner(x))


class Sorted(nn.Module):
    """An operator that no rewrite covers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x, -1).values


class Counting(nn.Module):
    """A sum of integers, which version 8.2 does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).sum(-1, keepdim=True).float()


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.norm(x))


def lowered(component: Component, target: Target, frames: int = 12, *, dynamic: bool = False) -> Program:
    program = export(component, {"T": frames}, dynamic)
    for compiler_pass in (*pipeline(target), AnnotatePrecision(target.default_precision)):
        program = compiler_pass(program, target).program
    return program


def test_an_operator_that_nothing_covers(tmp_path: Path) -> None:
    """The operator, the module, the line, the version, and what to do."""
    program = program_of(Outer(Sorted()), (2, 3))
    told = (
        r"jetson-nano: TensorRT 8\.2\.1 does not take aten\.sort\.default in inner \(test_backend\.py:\d+\): "
        r"no rewrite covers it; write the module with other operators, or add a pass that rewrites it"
    )
    with pytest.raises(UnsupportedError, match=told):
        BACKEND.check(program, NANO)


def test_an_operator_that_is_there_for_other_types(tmp_path: Path) -> None:
    program = CleanUp()(program_of(Outer(Counting()), (2, 3)), NANO).program
    BACKEND.check(program, NANO)
    told = (
        r"jetson-nano: TensorRT 8\.2\.1 does not take ReduceSum \(of aten\.sum\.dim_IntList\) in inner "
        r"\(test_backend\.py:\d+\): its data are INT64, and the parser takes FP16, FP32; cast"
    )
    with pytest.raises(UnsupportedError, match=told):
        BACKEND.emit(program, NANO, tmp_path)
    BACKEND.emit(program, JP6, tmp_path)


def test_without_a_version_all_of_them_must_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = CleanUp()(program_of(Outer(Counting()), (2, 3)), ANY).program
    monkeypatch.setattr(module, "installed_version", lambda: None)
    with pytest.raises(UnsupportedError, match=r"any TensorRT from 8\.2 on .* parser takes .*, in version 8\.2; cast"):
        BACKEND.emit(program, ANY, tmp_path)
    monkeypatch.setattr(module, "installed_version", lambda: "10.3.0.26")
    BACKEND.emit(program, ANY, tmp_path)
    monkeypatch.setattr(module, "installed_version", lambda: "8.6.1")
    with pytest.raises(UnsupportedError, match=r"tensorrt: TensorRT 8\.6\.1 does not take ReduceSum"):
        BACKEND.emit(program, ANY, tmp_path)


@pytest.mark.parametrize("target", DISTINCT, ids=lambda target: target.name)
def test_a_voice_that_converts(speaking_voice: Path, tmp_path: Path, target: Target) -> None:
    """Encoder, retrieval and synthesizer; the retrieval asks for the smallest distances, which 8.2 cannot give."""
    voice = load_voice(find_voice(speaking_voice, None, None), 256)
    for component in voice.components:
        frames = voice.sizes_of(component, 50)["T"]
        artifact = BACKEND.emit(lowered(component, target, frames), target, tmp_path)
        inputs = component.reference_inputs({"T": frames})
        found = OnnxRuntimeRunner(artifact.files[0], 1).run(inputs)
        expected = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
        for name, tensor in expected.items():
            assert np.abs(found[name] - tensor.numpy()).max() <= 1e-4 * max(1, tensor.abs().max().item())
        assert [file.name for file in artifact.files] == [f"{component.name}.onnx", f"{component.name}.precisions.json"]
        assert artifact.oldest_runtime == f"TensorRT {target.tensorrt or '8.2'}"
        ranks = {len(each.dims) for each in weights_of(artifact.files[0], "Conv")}
        assert ranks <= {4}, "convolutions are planar"


@pytest.mark.parametrize("target", [NANO, JP6], ids=lambda target: target.name)
def test_a_voice_that_converts_segments_of_any_length(speaking_voice: Path, tmp_path: Path, target: Target) -> None:
    """What holds for one length holds for all: what is legal, what is planar, what is held; the numbers."""
    voice = load_voice(find_voice(speaking_voice, None, None), 256)
    for component in voice.components:
        frames = voice.sizes_of(component, 50)["T"]
        files = {
            dynamic: BACKEND.emit(
                lowered(component, target, frames, dynamic=dynamic), target, directory_in(tmp_path, str(dynamic))
            ).files[0]
            for dynamic in (False, True)
        }
        for length in (2, 31, frames):
            inputs = component.reference_inputs({"T": length})
            found = OnnxRuntimeRunner(files[True], 1).run(inputs)
            for name, tensor in component.run({key: torch.from_numpy(each) for key, each in inputs.items()}).items():
                assert np.abs(found[name] - tensor.numpy()).max() <= 1e-4 * max(1, tensor.abs().max().item())
        assert {len(each.dims) for each in weights_of(files[True], "Conv")} <= {4}
        held = {dynamic: held_by(file) for dynamic, file in files.items()}
        assert held[True] >= held[False]
        work = {dynamic: sum(each.macs for each in placements(file)) for dynamic, file in files.items()}
        assert 0.95 < work[True] / work[False] <= 1


def directory_in(place: Path, name: str) -> Path:
    (place / name).mkdir(exist_ok=True)
    return place / name


def held_by(file: Path) -> Counter[str]:
    """How many operators of each type are held to float32."""
    recipe = read_precisions(precisions_file(file))
    return Counter(node.op_type for node in onnx.load(file).graph.node if recipe.layers.get(node.name) == "fp32")


def weights_of(file: Path, op: str) -> Sequence[onnx.TensorProto]:
    graph = onnx.load(file).graph
    names = {node.input[1] for node in graph.node if node.op_type == op}
    return [each for each in graph.initializer if each.name in names]


def test_normalisations_in_parts_stay_float32(tmp_path: Path) -> None:
    component = component_of(Norms(), (1, 5, 8))
    parts = read_precisions(precisions_file(BACKEND.emit(lowered(component, NANO), NANO, tmp_path).files[0]))
    assert parts.rewritten == {"aten.gelu.default": 1, "aten.native_layer_norm.default": 1}
    norm = [name for name in parts.layers if name.startswith("norm/")]
    assert len(norm) == 7
    assert {parts.layers[name] for name in norm} == {"fp32"}
    assert {parts.reasons[name] for name in norm} == {"a normalisation in parts, whose squares float16 may not hold"}
    whole = read_precisions(precisions_file(BACKEND.emit(lowered(component, JP6), JP6, tmp_path).files[0]))
    assert set(whole.layers.values()) == {"fp16"}
    assert not whole.rewritten


@pytest.mark.parametrize("target", [JP5, JP6], ids=lambda target: target.name)
def test_integers_as_pairs(tmp_path: Path, target: Target) -> None:
    """Weights are floats that a pair rounds, biases floats, zero points zero; and the file computes what the graph
    does."""
    program = quantized(BLOCKS, target, "int8")
    artifact = BACKEND.emit(program, target, tmp_path)
    model = onnx.load(artifact.files[0])
    kinds = {each.data_type for each in model.graph.initializer if np.prod(each.dims) > 32}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert artifact.operators["Conv"] == {"fp32": 1, "int8": 5}
    inputs = {name: tensor.numpy() for name, tensor in tensors_for(BLOCKS).items()}
    found = OnnxRuntimeRunner(artifact.files[0], 1).run(inputs)["y"]
    expected = program.run(tensors_for(BLOCKS))["y"].numpy()
    assert np.abs(found - expected).max() <= 0.05
    recipe = read_precisions(precisions_file(artifact.files[0]))
    assert "int8" in recipe.uses


def test_without_tensorrt_the_numbers_are_a_reference(compiled_kit: Path) -> None:
    runtime = BACKEND.runtime()
    assert runtime.evidence == "reference"
    assert "(the kit's own files: float32, and int8 only where it is in the graph)" in runtime.description
    assert isinstance(BACKEND.load(compiled_kit, 1), OnnxRuntimeRunner)


@pytest.fixture
def compiled_kit(tmp_path: Path) -> Path:
    return BACKEND.emit(lowered(component_of(Norms(), (1, 5, 8)), NANO), NANO, tmp_path).files[0]


def test_kits_have_the_agent(voice_file: Path, tmp_path: Path, voxc: Voxc) -> None:
    """Where it lies it knows what it is for; without TensorRT it says what is missing."""
    kit = tmp_path / "kit"
    assert voxc("compile", voice_file, "--target", "jetson-nano", "--frames", 10, "-o", kit).exit_code == 0
    manifest = read_manifest(kit)
    assert manifest.build.agent is not None
    assert manifest.build.agent.path == NAME
    assert manifest.build.agent.sha256 == sha256(pack([BACKEND])).hexdigest()
    assert manifest.build.agent in manifest.files()
    command = [sys.executable, kit / manifest.build.agent.path, "build"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "tensorrt cannot be imported" in json.loads(done.stdout)["error"]["message"]


def test_weights_in_a_file_of_their_own(
    tmp_path: Path, synthesizer: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a voice of more than 2 GiB would meet, a small one meets here."""
    monkeypatch.setattr(emitter, "MOST_INLINE_BYTES", 100)
    artifact = BACKEND.emit(lowered(synthesizer, NANO), NANO, tmp_path)
    assert [file.name.partition(".")[2] for file in artifact.files] == ["onnx", "onnx.data", "precisions.json"]


def test_emission_is_repeatable(tmp_path: Path, synthesizer: Component) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()
        BACKEND.emit(lowered(synthesizer, NANO), NANO, folder)
    for name in ("synthesizer.onnx", "synthesizer.precisions.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_explain_says_what_computes_in_what(tmp_path: Path, synthesizer: Component) -> None:
    artifact = BACKEND.emit(lowered(synthesizer, NANO), NANO, tmp_path)
    found = module.TensorRTBackend().explain(artifact.files[0], None)  # type: ignore[arg-type]
    recipe = read_precisions(artifact.files[1])
    assert {each.name: each.where for each in found} == dict(recipe.layers)
    assert {each.where for each in found} == {"fp16", "fp32"}
    (sine,) = (each for each in found if each.op == "Sin")
    assert (sine.where, sine.why) == ("fp32", "the plan keeps it: phases and what leads to them")
    assert sum(each.macs for each in found if each.op == "Conv") > 0


def test_explain_on_the_command_line(voice_file: Path, tmp_path: Path, voxc: Voxc) -> None:
    """What was rewritten, and what runs in which precision."""
    place = tmp_path / "kit"
    assert voxc("compile", voice_file, "--target", "jetson-nano", "--frames", 10, "-o", place).exit_code == 0
    told = voxc("explain", place, "--brief")
    assert told.exit_code == 0
    assert "rewritten by passes:" in told.stdout
    assert "planar_convolutions: " in told.stdout
    assert "sums_as_products: dec.m_source" in told.stdout
    assert "the plan keeps it: phases and what leads to them" in told.stdout
    report = json.loads(voxc("explain", place, "--json").stdout)
    (found,) = report["components"]
    assert set(found["shares"]) == {"fp16", "fp32"}
    assert found["rewritten"]
