from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.backends.coreml.harness import GPU
from tests.passes.harness import FRAMES, program_of
from voxc.backends.coreml import runner
from voxc.backends.coreml.backend import SYSTEMS, CoreMLBackend
from voxc.backends.coreml.emitter import FIRST_WITH_FUNCTIONS
from voxc.backends.coreml.interpreter import Interpreter
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import MissingRuntimeError, UnsupportedError
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.target import Target, load_targets
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization

TARGETS = {name: target for name, target in load_targets().items() if target.backend == "coreml"}


Lower = Callable[..., Program]


@pytest.fixture(scope="module")
def lower(synthesizer: Component) -> Lower:
    """A whole synthesizer, as the passes and a policy leave it for a target."""
    laid_out: dict[tuple[str, int], Program] = {}

    def make(target: Target, policy: str = "fp32", frames: int = FRAMES) -> Program:
        if (target.name, frames) not in laid_out:
            program = export(synthesizer, {"T": frames}, dynamic=False)
            for compiler_pass in pipeline(target):
                program = compiler_pass(program, target).program
            laid_out[target.name, frames] = program
        program = laid_out[target.name, frames]
        for compiler_pass in (AnnotatePrecision(policy), InsertQuantization()):  # type: ignore[arg-type]
            program = compiler_pass(program, target).program
        return program

    return make


@pytest.mark.parametrize("name", TARGETS)
def test_a_synthesizer(tmp_path: Path, synthesizer: Component, lower: Lower, name: str) -> None:
    program = lower(TARGETS[name])
    artifact = CoreMLBackend().emit(program, TARGETS[name], tmp_path)
    assert artifact.format == "mlpackage"
    assert [file.relative_to(tmp_path).as_posix() for file in artifact.files] == [
        "synthesizer.mlpackage/Manifest.json",
        "synthesizer.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "synthesizer.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
    ]
    assert artifact.operators["conv"].keys() == {"fp32"}
    assert artifact.oldest_runtime == "iOS17, macOS 14"
    inputs = synthesizer.reference_inputs({"T": FRAMES})
    expected = synthesizer.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"]
    found = CoreMLBackend().load(artifact.files[0], 2).run(inputs)["audio"]
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("policy", ["w8", "int4"])
def test_weights_of_few_bits(tmp_path: Path, lower: Lower, policy: str) -> None:
    target = TARGETS["apple-ane"]
    bits = {policy, "w8"}
    halved, stored = (CoreMLBackend().emit(lower(target, each), target, tmp_path / each) for each in ("fp16", policy))
    assert bits <= {kind for counts in stored.operators.values() for kind in counts}
    sizes = [artifact.files[-1].stat().st_size for artifact in (halved, stored)]
    assert sizes[1] < 0.75 * sizes[0]


def test_several_lengths_raise_the_system(tmp_path: Path, synthesizer: Component, lower: Lower) -> None:
    target = TARGETS["apple-gpu"]
    programs = [lower(target, frames=frames) for frames in (FRAMES, 8)]
    artifact = CoreMLBackend().emit(programs[0], target, tmp_path, programs[1:])
    assert artifact.oldest_runtime == f"{FIRST_WITH_FUNCTIONS}, {SYSTEMS[FIRST_WITH_FUNCTIONS]}"
    loaded = CoreMLBackend().load(artifact.files[0], 1)
    for frames in (FRAMES, 8):
        inputs = synthesizer.reference_inputs({"T": frames})
        expected = synthesizer.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"]
        torch.testing.assert_close(torch.from_numpy(loaded.run(inputs)["audio"]), expected, atol=1e-4, rtol=1e-4)


def test_systems_of_all_targets_have_a_name_for_people() -> None:
    assert all(target.deployment in SYSTEMS for target in TARGETS.values())


def test_an_operator_without_lowering_is_named() -> None:
    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sort(x, -1).values

    with pytest.raises(UnsupportedError, match="apple-gpu: coreml has no lowering for aten.sort.default"):
        CoreMLBackend().check(program_of(Sorted(), (2, 3)), GPU)


def test_what_runs_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower: Lower) -> None:
    file = CoreMLBackend().emit(lower(GPU), GPU, tmp_path).files[0]
    monkeypatch.setattr(sys, "platform", "linux")
    assert isinstance(CoreMLBackend().load(file, 1), Interpreter)
    elsewhere = CoreMLBackend().runtime()
    assert (elsewhere.evidence, "interpreter of ML programs" in elsewhere.description) == ("reference", True)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(runner.models, "MLModel", lambda *_, **__: None)
    assert isinstance(CoreMLBackend().load(file, 1), runner.CoreMLRunner)
    assert CoreMLBackend().runtime().evidence == "host"


def test_a_missing_coremltools_is_told_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = (Requirement("coremltools-of-nobody", "pip install 'voxc[coreml]'"),)
    for needs in ("emit_needs", "run_needs"):
        monkeypatch.setattr(CoreMLBackend, needs, absent)
    with pytest.raises(MissingRuntimeError, match=r"to emit Core ML packages, install .*voxc\[coreml\]"):
        CoreMLBackend().unsupported(program_of(nn.ReLU(), (2, 3)))
    with pytest.raises(MissingRuntimeError, match="to run Core ML packages"):
        CoreMLBackend().load(tmp_path / "Manifest.json", 1)
