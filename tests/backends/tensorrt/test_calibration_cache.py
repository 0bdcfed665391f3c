from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.passes.harness import component_of, program_of
from voxc.backends.onnx.emitter import emit
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.calibration_cache import (
    CalibrationCache,
    cache_file,
    named_scales,
    read_cache,
    scale_of,
    scales_of_plan,
    tensor_names,
    write_cache,
)
from voxc.compiler.calibration.ranges import calibrate
from voxc.compiler.core.errors import BundleError, CompileError, OutputError
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Scheme, load_targets
from voxc.compiler.core.tensor import Array
from voxc.passes.precision.insert_quantization import InsertQuantization

OPSET = 13
ORIN = load_targets()["jetson-orin-nano-jp5"]
SAMPLES, VALUES = 8, 50_000

GOOD = "TRT-8201-EntropyCalibration2\ndata: 3c008912\nconv1: 3c88edfc\n"


@pytest.mark.parametrize(
    ("version", "header"),
    [
        ("8.2.1", "TRT-8201-EntropyCalibration2"),
        ("8.2.1.9", "TRT-8201-EntropyCalibration2"),
        ("8.5.2", "TRT-8502-EntropyCalibration2"),
        ("8.6.1", "TRT-8601-EntropyCalibration2"),
        ("10.3.0", "TRT-100300-EntropyCalibration2"),
    ],
)
def test_the_header_is_that_of_the_release(version: str, header: str) -> None:
    cache = CalibrationCache(version, {"x": 1.0})
    assert cache.text == f"{header}\nx: 3f800000\n"
    assert CalibrationCache.parse(cache.text, "test").version == ".".join(version.split(".")[:3])


@pytest.mark.parametrize("version", ["8.2", "8", "", "8.2.x", "eight"])
def test_a_cache_is_for_one_release(version: str) -> None:
    with pytest.raises(CompileError, match="for one release"):
        _ = CalibrationCache(version, {"x": 1.0}).text


def test_what_tensorrt_writes() -> None:
    """Scales of NVIDIA's own cache of MNIST: of the softmax, whose largest value is a little below 1, and of an input
    with values from -1 to 1."""
    cache = CalibrationCache.parse("TRT-7000-EntropyCalibration2\nprob: 3c010a14\ndata: 3c008912\n", "mnist")
    assert cache.scales["prob"] * 127 == pytest.approx(1, rel=1e-2)
    assert cache.scales["data"] * 127 == pytest.approx(1, rel=1e-2)


def test_scales_are_symmetric_and_those_of_zeros_are_not_zero() -> None:
    assert scale_of((-127.0, 3.0)) == 1.0
    assert scale_of((0.0, 254.0)) == 2.0
    assert scale_of((0.0, 0.0)) == 1.0
    assert scale_of((0.0, 1e-60)) == 1.0
    assert scale_of((0.0, 0.1)) == struct.unpack(">f", struct.pack(">f", 0.1 / 127))[0]


names = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1)
scales = st.floats(min_value=2.0**-120, max_value=2.0**120, width=32)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, scales, min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, given_scales: dict[str, float]) -> None:
    cache = CalibrationCache("8.5.2", {**given_scales, "a: b": 1.5})
    path = tmp_path_factory.mktemp("cache") / "calibration.cache"
    write_cache(path, cache)
    assert read_cache(path) == cache


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no calibration cache"),
        ("\n", "no calibration cache"),
        ("TRT-8201-MinMaxCalibration\nx: 3f800000\n", "no calibration cache"),
        ("TRT-82013-EntropyCalibration2\nx: 3f800000\n", "no calibration cache"),
        ("TRT-0-EntropyCalibration2\nx: 3f800000\n", "no calibration cache"),
        ("TRT-8201-EntropyCalibration2\n", "without scales"),
        (GOOD + "\n", "line 4: ''"),
        (GOOD + "x 3f800000\n", "line 4: 'x 3f800000'"),
        (GOOD + "x: 3f80000\n", "line 4"),
        (GOOD + "x: 3F800000\n", "line 4"),
        (GOOD + ": 3f800000\n", "line 4"),
        (GOOD + "x\x07y: 3f800000\n", "line 4"),
        (GOOD + "x\r: 3f800000\n", "line 4"),
        (GOOD + "data: 3f800000\n", "line 4: data a second time"),
        (GOOD + "x: 7f800000\n", "line 4: x: inf is no scale"),
        (GOOD + "x: 7fc00000\n", "line 4: x: nan is no scale"),
        (GOOD + "x: 00000000\n", "line 4: x: 0 is no scale"),
        (GOOD + "x: bf800000\n", "line 4: x: -1 is no scale"),
    ],
)
def test_what_is_no_cache_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "calibration.cache"
    path.write_bytes(text.encode())
    with pytest.raises(BundleError, match=complaint) as caught:
        read_cache(path)
    assert str(path) in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.cache"
    path.write_bytes(GOOD.encode() + b"\xff\xfe: 3f800000\n")
    with pytest.raises(BundleError, match="not readable"):
        read_cache(path)
    with pytest.raises(BundleError, match="not readable"):
        read_cache(tmp_path)
    with path.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(BundleError, match="larger than"):
        read_cache(path)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_cache(tmp_path / "nowhere" / "cache", CalibrationCache("8.2.1", {"x": 1.0}))
    for wrong in ({"x\ny": 1.0}, {"": 1.0}, {"x": 0.0}, {"x": float("inf")}):
        with pytest.raises(CompileError, match="calibration cache"):
            write_cache(tmp_path / "cache", CalibrationCache("8.2.1", wrong))
    assert not list(tmp_path.iterdir())


def direct_threshold(values: Array, bins: int = 2048, levels: int = 128) -> float:
    """The entropy calibration that NVIDIA has published (GTC 2017, "8-bit inference with TensorRT"), done at once on
    all values: of every number of bins from 128 on, the one whose 128 levels lose the least information."""
    magnitudes = np.abs(values.astype(np.float64)).reshape(-1)
    counts, edges = np.histogram(magnitudes, bins, (0, magnitudes.max()))
    counts = counts.astype(np.float64)
    counts[0] = counts[1]  # zeros are exact on every grid
    lost = {}
    for size in range(levels, bins + 1):
        clipped, level = counts[:size].copy(), np.arange(size) * levels // size
        clipped[-1] += counts[size:].sum()
        occupied = counts[:size] > 0
        average = np.bincount(level, counts[:size], levels) / np.maximum(np.bincount(level, occupied, levels), 1)
        spread = average[level] * occupied
        p, q = clipped / clipped.sum(), spread / spread.sum()
        if (q[p > 0] > 0).all():
            lost[size] = float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())
    return float(edges[min(lost, key=lambda size: lost[size])])


class Known(nn.Module):
    """Layers whose activations are known from what they are given: evenly spread, and a bell with far outliers."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.thrice = nn.Conv1d(1, 1, 1, bias=False), nn.Conv1d(1, 1, 1, bias=False)
        with torch.no_grad():
            self.twice.weight.fill_(2.0)
            self.thrice.weight.fill_(-3.0)

    def forward(self, even: Tensor, bell: Tensor) -> Tensor:
        return torch.relu(self.twice(even)) + torch.tanh(self.thrice(bell))


def known_samples() -> list[dict[str, Array]]:
    random = np.random.default_rng(0)
    calls = []
    for _ in range(SAMPLES):
        bell = random.standard_normal((1, 1, VALUES), np.float32)
        bell[..., :2] = (25.0, -24.0)
        calls.append({"x0": random.uniform(-3, 3, (1, 1, VALUES)).astype(np.float32), "x1": bell})
    return calls


def calibrated(program: Program, opset: int, samples: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """The scale of every float32 activation of the file that a program becomes, by its name there."""
    names = tensor_names(program, opset)
    return named_scales(names, calibrate(program, samples, "entropy", names))


def test_scales_are_those_of_a_direct_entropy_calibration() -> None:
    """Within 5 % of the ends of what is spread over all that it reaches, and for every tensor of what the published
    algorithm finds on all of its values at once. (Where outliers thin out slowly, hardly anything is lost by one
    threshold more than by another, and the published one moves by 10 % from seed to seed.)"""
    program = program_of(Known(), (1, 1, VALUES), (1, 1, VALUES))
    samples = known_samples()
    scales = calibrated(program, OPSET, samples)
    assert scales["x0"] == pytest.approx(3 / 127, rel=0.05)
    assert scales["relu"] == pytest.approx(6 / 127, rel=0.05)
    assert scales["tanh"] == pytest.approx(1 / 127, rel=0.05)
    assert scales["y"] == pytest.approx(7 / 127, rel=0.05)
    values: dict[str, list[Array]] = {node: [] for node in tensor_names(program, OPSET)}
    for sample in samples:
        program.run(
            {name: torch.from_numpy(array) for name, array in sample.items()},
            lambda node, value: values[node.name].append(value.numpy()) if node.name in values else None,
        )
    for node, name in tensor_names(program, OPSET).items():
        seen = np.concatenate([array.reshape(-1) for array in values[node]])
        expected = direct_threshold(seen) / 127 if seen.any() else 1.0
        assert scales[name] == pytest.approx(expected, rel=0.05), name


def test_every_activation_of_the_file_has_a_scale(tmp_path: Path) -> None:
    """By the names that the parser sees, parts of splits and normalised values among them."""

    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = nn.LayerNorm(8), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.norm(x).split(4, -1)
            return self.out(torch.sigmoid(first) * second)

    component = component_of(Parts(), (1, 6, 8))
    program = export(component, {"T": 6}, dynamic=False)
    (file,) = emit(program, 17, tmp_path / "test.onnx")
    graph = onnx.load(file).graph
    made = {name for node in graph.node for name in node.output} | {given.name for given in graph.input}
    scales = calibrated(program, 17, [component.reference_inputs({"T": 6}, seed) for seed in (1, 2)])
    assert made <= set(scales)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 3, 1), nn.Conv1d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def with_plan() -> Program:
    """Both layers in integers."""
    program = program_of(Two(), (1, 2, 6))
    ranges = {"x": (-1.0, 2.0), "relu": (0.0, 4.0), "convolution_1": (-8.0, 2.0)}
    nodes = dict.fromkeys(("convolution", "convolution_1"), "int8")
    return replace(program, plan=PrecisionPlan(nodes=nodes, ranges=ranges))  # type: ignore[arg-type]


def test_a_plan_has_the_scales_of_its_integers() -> None:
    """By the same names with integers inserted as without, but for outputs that are rounded."""
    scales = scales_of_plan(with_plan(), OPSET)
    assert scales == {"x0": scale_of((0, 2)), "relu": scale_of((0, 4)), "y": scale_of((0, 8))}
    quantized = InsertQuantization()(with_plan(), ORIN)
    assert quantized.modified
    assert scales_of_plan(quantized.program, OPSET) == scales
    integers = ORIN.model_copy(update={"scheme": Scheme(activations="int8", symmetric=True)})
    program = with_plan()
    plan = program.plan.model_copy(update={"ranges": {**program.plan.ranges, "convolution": (-4.0, 4.0)}})
    rounded = InsertQuantization()(replace(program, plan=plan), integers).program
    expected = {"convolution_1": scales.pop("y"), "convolution": scale_of((0, 4)), **scales}
    assert scales_of_plan(rounded, OPSET) == expected


def test_a_kit_with_integers_has_the_cache_of_its_version(tmp_path: Path) -> None:
    program = InsertQuantization()(with_plan(), ORIN).program
    files = TensorRTBackend().emit(program, ORIN, tmp_path).files
    assert files[-1] == cache_file(files[0]) == tmp_path / "test.calibration.cache"
    cache = read_cache(files[-1])
    assert cache == CalibrationCache("8.5.2", scales_of_plan(program, OPSET))
    made = {name for node in onnx.load(files[0]).graph.node for name in node.output}
    assert set(cache.scales) <= made | {"x0"}
    plain = TensorRTBackend().emit(program_of(Two(), (1, 2, 6)), ORIN, tmp_path).files
    assert not any(file.name.endswith(".cache") for file in plain)
