from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tests.compiler.fallback.networks import FRAMES, assert_as_eager, component, program
from tests.compiler.families.rvc.test_synthesizer import NOISE, VOICES
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import CompileError
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.driver import compile_model
from voxc.compiler.fallback.build import build_fallback
from voxc.compiler.fallback.network import Fallback
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.manifest import ComponentBuild
from voxc.compiler.request import Request
from voxc.compiler.runtime.component import run_component
from voxc.compiler.runtime.fallback import load_fallback
from voxc.compiler.verify import verify_bundle
from voxc.passes.source.hoist_noise import HoistNoise

PACKAGES = {"jetson-nano": "onnx", "apple-mlx": "mlx", "tflite-float32": "ai_edge_litert"}


def run_fallback(bundle: Bundle, component: ComponentBuild, tensors: Mapping[str, Array]) -> dict[str, Array]:
    return run_component(load_fallback(bundle, component, threads=1), component, tensors)


@pytest.mark.parametrize(
    ("name", "dynamic"),
    [
        ("rvc_v2_40k_f0", True),
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in VOICES if name != "rvc_v2_40k_nof0"),
        ("rvc_v2_40k_nof0", False),
    ],
    ids=str,
)
def test_golden_voices_come_out_as_eager_pytorch_has_them(
    golden: Path, target: Target, tmp_path: Path, name: str, dynamic: bool
) -> None:
    """But for the order of sums; and as near to the reference as that is."""
    vectors = load_file(golden / f"{name}.safetensors")
    inputs = {key.removeprefix("input/"): array for key, array in vectors.items() if key.startswith("input/")}
    del inputs["phone_lengths"]
    inputs |= {noise: vectors[key] for noise, key in NOISE.items() if key in vectors}
    (synthesizer,) = load_voice(VoiceFiles(golden / f"{name}.pth")).components
    exported = HoistNoise()(export(synthesizer, {"T": inputs["phone"].shape[1] + 3 * dynamic}, dynamic), target).program
    graph, weights = build_fallback(exported, (), tmp_path, threads=1)
    found = Fallback.read(graph, exported.inputs, exported.outputs, threads=1).run(inputs)["audio"]
    expected = synthesizer.run({key: torch.from_numpy(array) for key, array in inputs.items()})["audio"].numpy()
    assert_as_eager(found, expected)
    assert np.abs(found - vectors["output/audio"]).max() < 1e-4
    weight = sum(tensor.numel() * tensor.element_size() for tensor in synthesizer.module.state_dict().values())
    assert weights.stat().st_size < weight + 50_000
    assert graph.stat().st_size < 250_000


@pytest.mark.parametrize("name", PACKAGES)
def test_every_backend_has_a_fallback(voice_file: Path, tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    targets = (load_targets()[name],)
    request = Request(voice_file, targets, tmp_path / "bundle", frames=6, convert=False, fallback=True, threads=1)
    ((place, manifest),) = compile_model(request)
    (built,) = manifest.build.components
    assert [file.path for file in built.fallback] == ["fallback/synthesizer.json", "fallback/synthesizer.safetensors"]
    assert {file.path for file in built.fallback} <= {file.path for file in manifest.files()}
    bundle = Bundle.open(place)
    tensors = bundle.reference("synthesizer")
    expected = tensors.pop("audio")
    assert_as_eager(run_fallback(bundle, built, tensors)["audio"], expected)


def test_one_fallback_takes_all_lengths_that_its_artifact_takes(voice_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("coremltools", reason="pip install 'voxc[coreml]'")
    targets = (load_targets()["apple-ane"],)
    request = Request(voice_file, targets, tmp_path / "bundle", frames=12, lengths=(8,), convert=False, fallback=True)
    compile_model(request)
    bundle = Bundle.open(tmp_path / "bundle")
    built = bundle.manifest.component("synthesizer")
    (synthesizer,) = load_voice(VoiceFiles(voice_file)).components
    for frames in (8, 12):
        inputs = synthesizer.reference_inputs({"T": frames})
        expected = synthesizer.run({key: torch.from_numpy(array) for key, array in inputs.items()})["audio"]
        assert_as_eager(run_fallback(bundle, built, inputs)["audio"], expected.numpy())
    assert all(check.passed for check in verify_bundle(tmp_path / "bundle"))


def test_bundles_have_none_that_nobody_asked_for(compiled: Path) -> None:
    bundle = Bundle.open(compiled)
    assert not any(component.fallback for component in bundle.manifest.build.components)
    assert not (compiled / "fallback").exists()


def test_a_fallback_that_computes_something_else_is_an_error(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = component()
    inputs = made.reference_inputs({"T": FRAMES})
    outputs = made.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    cases = [(inputs, {name: tensor.numpy() for name, tensor in outputs.items()})]
    assert build_fallback(program(target, made), cases, tmp_path, threads=1)[0].suffix == ".json"
    run = Fallback.run
    monkeypatch.setattr(
        Fallback, "run", lambda self, given: {name: array + 0.01 * inputs["x"].max() * (array > 0.05)
                                              for name, array in run(self, given).items()}
    )  # fmt: skip
    with pytest.raises(CompileError, match=r"small: the fallback's y has an SNR of \d+\.\d dB to PyTorch's own"):
        build_fallback(program(target, made), cases, tmp_path, threads=1)


def test_the_graph_is_a_line_for_each_call(backed_bundle: Path) -> None:
    text = (backed_bundle / "fallback" / "retrieval.json").read_text()
    calls = json.loads(text)["calls"]
    assert len(text.splitlines()) == len(calls) + 2
    assert all("_assert" not in call["operator"] for call in calls)
