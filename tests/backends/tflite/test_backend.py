from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, Function, program_of
from voxc.backends.tflite import emitter
from voxc.backends.tflite.backend import TfliteBackend
from voxc.backends.tflite.reader import read_model, runtime_of
from voxc.backends.tflite.runner import TfliteRunner
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import BundleError, MissingRuntimeError, UnsupportedError
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.target import Target, load_targets
from voxc.passes.pipeline import pipeline


@pytest.fixture(scope="module")
def tflite() -> Target:
    return load_targets()["tflite-float32"]


@pytest.fixture(scope="module")
def program(synthesizer: Component, tflite: Target) -> Program:
    """A whole synthesizer, as the passes leave it for TFLite."""
    program = export(synthesizer, {"T": FRAMES}, dynamic=False)
    for compiler_pass in pipeline(tflite):
        program = compiler_pass(program, tflite).program
    return program


def test_a_synthesizer(tmp_path: Path, program: Program, synthesizer: Component, tflite: Target) -> None:
    artifact = TfliteBackend().emit(program, tflite, tmp_path)
    (file,) = artifact.files
    assert (artifact.format, file.name) == ("tflite", "synthesizer.tflite")
    assert artifact.operators["CONV_2D"].keys() == {"fp32"}
    inputs = synthesizer.reference_inputs({"T": FRAMES})
    expected = synthesizer.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"]
    found = TfliteBackend().load(file, 2).run(inputs)["audio"]
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


def test_old_runtimes_have_all_that_a_synthesizer_needs(tmp_path: Path, program: Program, tflite: Target) -> None:
    (file,) = TfliteBackend().emit(program, tflite, tmp_path).files
    assert runtime_of(file) == "2.5.0"


def test_names_lead_back_to_the_voice(tmp_path: Path, program: Program, tflite: Target) -> None:
    (file,) = TfliteBackend().emit(program, tflite, tmp_path).files
    graph = read_model(file).Subgraphs(0)
    names = {graph.Tensors(place).Name().decode() for place in range(graph.TensorsLength())}
    assert {spec.name for spec in (*program.inputs, *program.outputs)} <= names
    assert any(name.startswith("dec.resblocks.0/") for name in names)
    assert any(name.startswith("dec.conv_pre.weight") for name in names)


def test_emission_is_repeatable(tmp_path: Path, program: Program) -> None:
    contents = []
    for name in ("a", "b"):
        emitter.emit(program, tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x, -1).values


def test_an_operator_without_lowering_is_named(tmp_path: Path, tflite: Target) -> None:
    program = program_of(Spectrum(), (2, 3))
    with pytest.raises(UnsupportedError, match="tflite-float32: tflite has no lowering for aten.sort.default"):
        TfliteBackend().check(program, tflite)
    with pytest.raises(UnsupportedError, match=r"TFLite: aten.sort.default in test \(node sort, test_backend.py:\d+\)"):
        emitter.emit(program, tmp_path / "test.tflite")


def test_two_outputs_of_one_value_have_names_of_their_own(tmp_path: Path) -> None:
    program = program_of(Function(lambda x: x.clone()), (1, "T"))
    emitter.emit(program, tmp_path / "test.tflite")
    assert list(TfliteRunner(tmp_path / "test.tflite", 1).outputs) == ["y"]


def test_a_missing_runtime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = (Requirement("voxc-nothing-of-the-kind", "pip install 'voxc[tflite]'"),)
    monkeypatch.setattr(TfliteBackend, "run_needs", absent)
    with pytest.raises(MissingRuntimeError, match=r"tflite: to run TFLite files, install .*voxc\[tflite\]"):
        TfliteBackend().load(tmp_path / "test.tflite", 1)


def test_what_is_no_tflite_file_cannot_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(BundleError, match="other: not a TFLite file"):
        runtime_of(tmp_path / "other")
