"""Engines on the host, as far as they can be seen without a GPU: ONNX Runtime stands for TensorRT, the CPU for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from tests.backends.tensorrt.conftest import Gpu
from tests.compiler.device.kits import told
from voxc.backends.onnx import emitter
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt.calibration_cache import CalibrationCache, cache_file, write_cache
from voxc.backends.tensorrt.engine import EngineRunner, Identity, OnGpu, read_identity, write
from voxc.backends.tensorrt.precisions import Precisions, Profile, precisions_file
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import BundleError, CompileError, MissingRuntimeError, TensorError
from voxc.compiler.core.program import export
from voxc.compiler.core.target import load_targets
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.passes.simplify.clean_up import CleanUp

VERSIONS = ("8.6.1", "10.3.0")
LONGEST = 9


class Net(nn.Module):
    """Numbers by frame, and a speaker."""

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        return torch.sin(x) * 2 + speaker.float()


COMPONENT = Component(
    "test",
    Net(),
    inputs=(
        TensorSpec(name="x", shape=(1, "T"), dtype="float32", unit="1", meaning="test"),
        TensorSpec(name="speaker", shape=(1,), dtype="int64", unit="1", meaning="test"),
    ),
    noise=(),
    outputs=(TensorSpec(name="y", shape=(1, "T"), dtype="float32", unit="1", meaning="test"),),
    reference_inputs=lambda sizes, seed=0: inputs_of(sizes["T"]),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An ONNX file for segments of any length, with a recipe for 2 to 9 frames."""
    path = tmp_path / "test.onnx"
    program = CleanUp()(export(COMPONENT, {"T": LONGEST}, dynamic=True), load_targets()["tensorrt"]).program
    emitter.emit(program, 13, path)
    write_recipe(path)
    return path


def write_recipe(file: Path, **changes: Any) -> None:
    sine = next(node.name for node in onnx.load(file).graph.node if node.op_type == "Sin")
    profile = Profile(min=(1, 2), opt=(1, LONGEST), max=(1, LONGEST))
    given = {"default": "fp16", "layers": {sine: "fp32"}, "profiles": {"x": profile}, **changes}
    Precisions(component="test", tensorrt=None, opset=13, **given).write(precisions_file(file))


def inputs_of(frames: int, speaker: int = 3) -> dict[str, Array]:
    random = np.random.default_rng(frames)
    return {"x": random.standard_normal((1, frames), np.float32), "speaker": np.array([speaker])}


def expected(inputs: dict[str, Array]) -> Array:
    return COMPONENT.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"].numpy()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_builder_is_told(gpu: Gpu, file: Path, version: str) -> None:
    gpu(version)
    engine, identity = write(file)
    assert read_identity(identity) == Identity.here()
    found = told(engine)
    assert found["version"] == version
    assert found["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    assert list(found["held"].values()) == ["FLOAT"]
    assert found["profiles"] == {"x": [[1, 2], [1, LONGEST], [1, LONGEST]]}
    assert found["workspace"] == 500 << 20


def test_int8_by_a_calibration_cache(gpu: Gpu, file: Path) -> None:
    """Which is of another version: the scales are voxc's."""
    gpu("10.3.0")
    write_recipe(file, layers={"sin": "int8"})
    with pytest.raises(BundleError, match="neither QuantizeLinear in it nor a calibration cache beside it"):
        write(file)
    write_cache(cache_file(file), CalibrationCache("8.5.2", {"x": 0.5}))
    engine, _ = write(file)
    assert told(engine)["scales"] == "TRT-100300-EntropyCalibration2\nx: 3f000000\n"


def test_timings_are_used_again(gpu: Gpu, file: Path, tmp_path: Path) -> None:
    gpu("10.3.0")
    assert told(write(file)[0])["timings"] == ""
    assert [each.name for each in (tmp_path / "cache" / "voxc").iterdir()] == ["10.3.0-Tester-8.7.timings"]
    assert told(write(file)[0])["timings"] == "timings of 10.3.0"


@pytest.mark.parametrize("built", [True, False], ids=["there", "built now"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_runs_on_the_lengths_that_it_is_for(gpu: Gpu, file: Path, version: str, built: bool) -> None:
    gpu(version)
    if built:
        write(file)
    runner = EngineRunner.of(file)
    for frames in (LONGEST, 2, 5):
        inputs = inputs_of(frames)
        found = runner.run(inputs)
        assert list(found) == ["y"]
        np.testing.assert_allclose(found["y"], expected(inputs), atol=1e-6)
    for frames in (1, LONGEST + 1):
        with pytest.raises(TensorError, match=rf"x of shape \(1, {frames}\): the engine takes \(1, 2\) to \(1, 9\)"):
            runner.run(inputs_of(frames))


def test_inputs_that_do_not_fit(gpu: Gpu, file: Path) -> None:
    gpu("8.6.1")
    runner = EngineRunner.of(file)
    with pytest.raises(TensorError, match="the engine also takes speaker"):
        runner.run({"x": inputs_of(4)["x"]})
    with pytest.raises(TensorError, match="speaker: the engine takes int32, too narrow for these numbers"):
        runner.run(inputs_of(4, speaker=1 << 40))
    runner.run({**inputs_of(4), "nobody": np.zeros(3)})  # TensorRT leaves out what no layer reads


def test_outputs_stay_where_they_are(gpu: Gpu, file: Path) -> None:
    """One engine reads what another gave without a copy, and what was handed on does not change any more."""
    gpu("10.3.0")
    first, second = EngineRunner.of(file), EngineRunner.of(file)
    inputs = inputs_of(6)
    between = first.hand_on(inputs)["y"]
    assert isinstance(between, OnGpu)
    chained = {"x": between, "speaker": inputs["speaker"]}
    found = second.hand_on(chained)["y"]
    assert second.bound.addresses[second.bound.names.index("x")] == between.tensor.data_ptr()
    np.testing.assert_allclose(found, expected({**inputs, "x": expected(inputs)}), atol=1e-6)
    before = np.array(between)
    first.hand_on(inputs_of(LONGEST))
    np.testing.assert_array_equal(between, before)


def test_what_is_of_another_type_is_copied(gpu: Gpu, file: Path) -> None:
    gpu("10.3.0")
    runner = EngineRunner.of(file)
    inputs = inputs_of(6)
    wide: dict[str, Any] = {"x": OnGpu(torch.from_numpy(inputs["x"]).double()), "speaker": inputs["speaker"]}
    np.testing.assert_allclose(runner.hand_on(wide)["y"], expected(inputs), atol=1e-6)


def test_other_runners_take_what_is_on_the_gpu(file: Path) -> None:
    inputs = inputs_of(6)
    held: dict[str, Any] = {**inputs, "x": OnGpu(torch.from_numpy(inputs["x"]))}
    found = OnnxRuntimeRunner(file, 1).hand_on(held)["y"]
    np.testing.assert_allclose(found, expected(inputs), atol=1e-6)


@pytest.mark.parametrize(
    ("setting", "error", "words"),
    [
        ({"FAKE_REFUSAL": "No importer for Mod"}, CompileError, "TensorRT 8.6.1 refuses it: No importer for Mod"),
        ({"FAKE_FAILURE": "no kernel"}, CompileError, "test.onnx: TensorRT 8.6.1 could not build an engine: no kernel"),
        ({"FAKE_START": "error: 999"}, MissingRuntimeError, "TensorRT 8.6.1 cannot start: error: 999"),
    ],
)
def test_what_goes_wrong_is_told(
    gpu: Gpu, file: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], error: type[Exception], words: str
) -> None:
    gpu("8.6.1")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match=words):
        EngineRunner.of(file)


def test_an_engine_that_fails(gpu: Gpu, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu("8.6.1")
    runner = EngineRunner.of(file)
    monkeypatch.setenv("FAKE_LOSS", "1")
    with pytest.raises(TensorError, match="TensorRT could not run the engine: it does not say why"):
        runner.run(inputs_of(4))


def test_a_gpu_without_room(gpu: Gpu, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has ...")

    gpu("8.6.1")
    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(MissingRuntimeError, match="the GPU has too little memory left: CUDA out of memory$"):
        EngineRunner.of(file)


@pytest.mark.parametrize("change", [{"version": "10.3.0"}, {"gpu": "B"}, {"capability": (5, 3)}])
def test_engines_of_elsewhere_are_refused(
    gpu: Gpu, file: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    gpu("8.6.1")
    write(file)
    gpu(change.get("version", "8.6.1"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: change.get("gpu", "Tester"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: change.get("capability", (8, 7)))
    with pytest.raises(
        BundleError,
        match=r"test.engine: built for TensorRT 8.6.1, Tester \(8.7\); this machine has TensorRT .* again here",
    ):
        EngineRunner.of(file)


def test_an_engine_that_tensorrt_does_not_read(gpu: Gpu, file: Path) -> None:
    gpu("8.6.1")
    engine, identity = write(file)
    engine.write_bytes(engine.read_bytes().replace(b'"8.6.1"', b'"8.6.0"'))
    told = "test.engine: TensorRT 8.6.1 does not read it: Serialization assertion stdVersionRead failed"
    with pytest.raises(BundleError, match=told):
        EngineRunner.of(file)
    identity.write_text("{}")
    with pytest.raises(BundleError, match="does not say where its engine was built"):
        EngineRunner.of(file)


def test_identities_are_read_with_care(tmp_path: Path) -> None:
    here = Identity(tensorrt="8.6.1", gpu="A", compute_capability="8.7")
    file = tmp_path / "x.engine.json"
    file.write_text(json.dumps({**here.model_dump(), "sha256": "of the agent"}))
    assert read_identity(file) == here
