from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.backends.mlx.harness import lowered, mlx_target, run_source
from tests.backends.mlx.layout import layout_changes
from tests.compiler.families.rvc.test_synthesizer import NOISE, SLOW_VOICES
from tests.passes.harness import FRAMES, program_of
from voxc.backends.mlx import emitter
from voxc.backends.mlx.backend import MlxBackend
from voxc.backends.mlx.reader import read
from voxc.backends.mlx.runner import MlxRunner
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import MissingRuntimeError, UnsupportedError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.plan import Policy
from voxc.compiler.core.program import Program
from voxc.compiler.core.runner import Requirement
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.retrieval.component import retrieval_component
from voxc.compiler.families.rvc.voice import load_voice
from voxc.passes.precision.annotate_precision import AnnotatePrecision


@pytest.fixture(scope="module")
def program(synthesizer: Component) -> Program:
    return lowered(synthesizer)


def planned(program: Program, policy: Policy) -> Program:
    return AnnotatePrecision(policy)(program, mlx_target()).program


def test_a_synthesizer(tmp_path: Path, program: Program, synthesizer: Component) -> None:
    artifact = MlxBackend().emit(program, mlx_target(), tmp_path)
    assert artifact.format == "mlx"
    names = [file.relative_to(tmp_path).as_posix() for file in artifact.files]
    assert names == ["synthesizer/model.mlxfn", "synthesizer/model.safetensors", "synthesizer/model.py"]
    assert len({file.stat().st_mode for file in artifact.files}) == 1, "who may read one may read all"
    assert artifact.operators["Convolution"].keys() == {"fp32"}
    inputs = synthesizer.reference_inputs({"T": FRAMES})
    expected = synthesizer.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"]
    found = MlxBackend().load(artifact.files[0], 2).run(inputs)["audio"]
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SLOW_VOICES)
def test_golden_voices(golden: Path, tmp_path: Path, name: str) -> None:
    """float32 is within 1e-3 of what the reference made, float16 is at 35 dB or more; the source says the same."""
    vectors = load_file(golden / f"{name}.safetensors")
    (component,) = load_voice(VoiceFiles(golden / f"{name}.pth")).components
    inputs = {spec.name: vectors[f"input/{spec.name}"].numpy() for spec in component.inputs}
    inputs |= {spec.name: vectors[NOISE[spec.name]].numpy() for spec in component.noise}
    expected = vectors["output/audio"].numpy()
    program = lowered(component, inputs["phone"].shape[1])
    for policy in ("fp32", "fp16"):
        files = emitter.emit(planned(program, policy), tmp_path / policy)
        found = MlxRunner(files[0]).run(inputs)["audio"]
        np.testing.assert_array_equal(run_source(files[0].parent, program.name, inputs, ["audio"])["audio"], found)
        if policy == "fp32":
            assert np.abs(found - expected).max() < 1e-3
        else:
            assert snr_db(expected, found) > 35


def test_the_phase_is_an_island(tmp_path: Path, program: Program, synthesizer: Component) -> None:
    """The source is in float32 in a float16 network, which is worth 20 dB; what meets is cast."""
    inputs = synthesizer.reference_inputs({"T": FRAMES})
    expected = synthesizer.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"].numpy()
    plan = planned(program, "fp16").plan
    snr = {}
    for kind, nodes in (("island", plan.nodes), ("none", {})):
        changed = lowered(synthesizer, FRAMES, plan.model_copy(update={"nodes": nodes}))
        files = emitter.emit(changed, tmp_path / kind)
        snr[kind] = snr_db(expected, MlxRunner(files[0]).run(inputs)["audio"])
    assert snr["island"] > snr["none"] + 20, snr


def test_retrieval_of_a_stored_vector(tmp_path: Path) -> None:
    """Distance zero, in a network that computes in float16 elsewhere."""
    vectors = np.random.default_rng(0).standard_normal((40, 32), np.float32)
    component = retrieval_component(vectors, 32)
    inputs = component.reference_inputs({"T": FRAMES})
    inputs["features"][0, 0] = vectors[3]
    (expected,) = component.run({name: torch.from_numpy(array) for name, array in inputs.items()}).values()
    files = emitter.emit(planned(lowered(component), "fp16"), tmp_path)
    (found,) = MlxRunner(files[0]).run(inputs).values()
    assert snr_db(expected.numpy(), found) > 50


def test_little_is_moved_about(tmp_path: Path, program: Program) -> None:
    """The keys of the one attention layer, the prior's noise, and the source's noise, which an upper rate reads."""
    changes = layout_changes(read(emitter.emit(program, tmp_path)[0]))
    assert [operation.name for operation in changes].count("Transpose") == 2
    assert len(changes) <= 3


def test_emission_is_repeatable(tmp_path: Path, program: Program) -> None:
    """Although memory has other addresses by then."""
    first, again = (emitter.emit(program, tmp_path / name) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]


def test_the_source_needs_nothing_but_mlx(tmp_path: Path, program: Program) -> None:
    *_, source = emitter.emit(planned(program, "fp16"), tmp_path)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); before = set(sys.modules); import model; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    given = subprocess.run([sys.executable, "-c", f"import mlx.core; {script}"], capture_output=True, text=True)
    assert given.stdout.strip() == "['model']", given.stderr
    assert "# dec.conv_pre\n" in source.read_text()


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x, -1).values


def test_an_operator_without_lowering_is_named(tmp_path: Path) -> None:
    program = program_of(Spectrum(), (2, 3))
    with pytest.raises(UnsupportedError, match="apple-mlx: mlx has no lowering for aten.sort.default"):
        MlxBackend().check(program, mlx_target())
    with pytest.raises(UnsupportedError, match=r"MLX: aten.sort.default in test \(node sort, test_backend.py:\d+\)"):
        emitter.emit(program, tmp_path)


def test_a_missing_runtime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = (Requirement("voxc-nothing-of-the-kind", "pip install 'voxc[mlx]'"),)
    monkeypatch.setattr(MlxBackend, "run_needs", absent)
    with pytest.raises(MissingRuntimeError, match=r"mlx: to run MLX functions, install .*voxc\[mlx\]"):
        MlxBackend().load(tmp_path / "model.mlxfn", 1)
