"""Networks that are no voices, from every kind of file to every backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from tests.compiler.families.generic.networks import Recurrent, network
from tests.conftest import Once, Voxc
from voxc.compiler.core.errors import CheckpointError, RecipeError, TensorError
from voxc.compiler.core.target import load_targets
from voxc.compiler.core.tensor import read_npz, write_npz
from voxc.compiler.driver import compile_model
from voxc.compiler.families import load_model
from voxc.compiler.manifest import read_manifest
from voxc.compiler.request import Request
from voxc.compiler.verify import verify_bundle

TARGETS = ["onnxruntime-cpu", "tflite-float32", "apple-ane", "apple-mlx", "jetson-nano"]
#: What backends do not make of SwiftF0's model.
GAPS = {
    "apple-ane": "Core ML has no inputs without axes",
    "apple-mlx": "45 dB in float32, where the bound is 60",
    "jetson-nano": "TensorRT's parser gathers no truth values",
}
FACTORY = Path("tests.compiler.families.generic.networks:network")


def write_pt2(path: Path) -> None:
    module, inputs = network()
    torch.export.save(torch.export.export(module, tuple(inputs.values())), path)


def write_onnx(path: Path) -> None:
    module, inputs = network()
    torch.onnx.export(
        module, tuple(inputs.values()), path, dynamo=True, external_data=False, verbose=False, input_names=["audio"]
    )


def write_gru(path: Path) -> None:
    torch.manual_seed(0)
    module = Recurrent().eval()
    torch.onnx.export(module, (torch.randn(1, 5, 4),), path, dynamo=True, external_data=False, verbose=False)


class Samples(CalibrationDataReader):
    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.rows = iter([{"audio": random.standard_normal((1, 6, 20), np.float32)} for _ in range(4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rows, None)


def write_quantized(path: Path) -> None:
    plain = path.with_name(f"plain-{path.name}")
    write_onnx(plain)
    quantize_static(plain, path, Samples(), quant_format=QuantFormat.QDQ, per_channel=True)


KINDS: dict[str, Callable[[Path], None]] = {
    "network.pt2": write_pt2, "network.onnx": write_onnx, "gru.onnx": write_gru, "quantized.onnx": write_quantized
}  # fmt: skip


@pytest.fixture(params=[*KINDS, "factory"])
def source(request: pytest.FixtureRequest, once: Once) -> tuple[Path, str | None]:
    if request.param == "factory":
        return FACTORY, "torch"
    return once(request.param, KINDS[request.param]), None


@pytest.mark.parametrize("name", TARGETS)
def test_every_kind_compiles_for_every_backend(name: str, source: tuple[Path, str | None], tmp_path: Path) -> None:
    path, family = source
    target = load_targets()[name]
    ((place, manifest),) = compile_model(Request(path, (target,), tmp_path / "b", family=family, threads=1))
    assert manifest.status == "passed", manifest.failures
    assert manifest.build.source.family == (family or "generic")
    assert manifest.measurements.conversion is None
    figures = manifest.measurements.components["network"].figures
    assert figures["snr"].value > (60 if target.arithmetic == "float32" else 30)
    if len(manifest.component("network").outputs) == 2:
        assert len([name for name in figures if name.startswith("snr_") and name != "snr_rehearsed"]) >= 1
    assert all(check.passed for check in verify_bundle(place))


@pytest.mark.parametrize("name", ["onnxruntime-cpu", "tflite-int8"])
def test_integers(name: str, once: Once, tmp_path: Path) -> None:
    path = once("network.pt2", write_pt2)
    target = load_targets()[name]
    precision = Request(path, (target,)).precision.with_options(("int8",), min_snr=15)
    ((_, manifest),) = compile_model(Request(path, (target,), tmp_path / "b", precision=precision, threads=1))
    assert manifest.status == "passed", manifest.failures
    assert manifest.component("network").precision_histogram["int8"] >= 1
    assert manifest.measurements.calibration == "8 random inputs"


def test_a_file_that_torch_exported_computes_what_torch_does(once: Once) -> None:
    (component,) = load_model(once("network.onnx", write_onnx)).components
    inputs = component.reference_inputs({})
    outputs = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    session = onnxruntime.InferenceSession(str(once("network.onnx", write_onnx)), providers=["CPUExecutionProvider"])
    for spec, expected in zip(component.outputs, session.run(None, dict(inputs)), strict=True):
        np.testing.assert_allclose(outputs[spec.name].numpy(), expected, atol=2e-5)


def with_gaps(name: str) -> object:
    gaps = [pytest.mark.xfail(strict=True, reason=GAPS[name])] if name in GAPS else []
    return pytest.param(name, marks=gaps)


@pytest.mark.parametrize("name", [with_gaps(name) for name in TARGETS])
def test_a_network_of_another_tool_with_real_inputs(voxc: Voxc, name: str, tmp_path: Path) -> None:
    """SwiftF0's model out of its own package: an STFT, 2-D convolutions, a peak that is picked."""
    package = pytest.importorskip("swift_f0", reason="the package swift-f0 is not installed")
    model = Path(package.__file__).parent / "model.onnx"
    sound = 0.3 * np.sin(np.arange(8192) / 16000 * 2 * np.pi * 220).astype(np.float32)[np.newaxis]
    inputs = {"audio": sound, "fmin": np.array(50, np.float32), "fmax": np.array(1000, np.float32)}
    write_npz(tmp_path / "inputs.npz", inputs)
    options = ("--size", "samples=8192", "--inputs", tmp_path / "inputs.npz", "--precision", "fp32")
    done = voxc("compile", model, "--target", name, "-o", tmp_path / "b", *options)
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "b")
    assert manifest.build.source.facts["compared by"] == "inputs.npz"
    pitch = read_npz(tmp_path / "b" / "reference.npz")["network/pitch"]
    assert np.median(pitch) == pytest.approx(220, rel=0.02)


def test_commands_on_a_bundle(voxc: Voxc, once: Once, tmp_path: Path) -> None:
    path, place = once("network.pt2", write_pt2), tmp_path / "b"
    assert voxc("compile", path, "-t", "onnxruntime-cpu", "-o", place).exit_code == 0
    assert "generic" in voxc("inspect", place).output
    assert "compared by" in voxc("inspect", path).output
    files = ("--inputs", place / "reference.npz", "--outputs", tmp_path / "o.npz")
    run = voxc("run", place, "--component", "network", *files)
    assert run.exit_code == 0, run.output
    assert {array.shape for array in read_npz(tmp_path / "o.npz").values()} == {(1, 6, 40), (1, 20, 12)}
    (tmp_path / "x.wav").touch()
    convert = voxc("convert", tmp_path / "x.wav", "--bundle", place, "-o", tmp_path / "o.wav")
    assert convert.exit_code == 2
    assert "a generic model has nothing to convert; see `voxc run`" in convert.output


def test_options_that_a_network_has_no_use_for(once: Once, tmp_path: Path) -> None:
    path, target = once("network.pt2", write_pt2), load_targets()["onnxruntime-cpu"]
    for options, complaint in (
        ({"frames": 20}, "no time axis; leave out --segment, --frames"),
        ({"gates": ("secs>=0.8",)}, "a generic model has nothing to convert"),
        ({"sizes": {"batch": 2}}, "has no size that is open and called batch"),
    ):
        with pytest.raises((RecipeError, CheckpointError), match=complaint):
            compile_model(Request(path, (target,), tmp_path / "b", **options))
    write_npz(tmp_path / "x.npz", {"input": np.zeros((1, 2, 3), np.float32)})
    with pytest.raises(TensorError, match=r"x\.npz: input: shape \[1, 2, 3\], the component takes \[1, 6, 20\]"):
        load_model(path, {"inputs": tmp_path / "x.npz"})


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no.such.module:f", "no.such.module cannot be imported"),
        ("tests.compiler.families.generic.networks:nothing", "has no function nothing"),
        ("tests.compiler.families.generic.networks:broken", "the function fails .RuntimeError: no weights here"),
        ("tests.compiler.families.generic.networks:no_network", "gives str; give a function"),
        ("a file.py", "give a function that returns"),
    ],
)
def test_factories_that_give_nothing(name: str, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        load_model(Path(name), family="torch")


def test_code_runs_only_when_its_family_is_named() -> None:
    with pytest.raises(CheckpointError, match="add --family torch"):
        load_model(FACTORY)
