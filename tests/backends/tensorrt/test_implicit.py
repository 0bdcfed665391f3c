"""Kits whose int8 is for the builder to choose: a graph in floats, and the scales of all that may be int8 beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.backends.tensorrt.conftest import Gpu
from tests.compiler.device.kits import told
from tests.conftest import Voxc
from tests.passes.harness import FRAMES, component_of
from tests.passes.precision.test_leave_integers_open import CHAIN, Product
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt import backend as module
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.calibration_cache import cache_file, read_cache
from voxc.backends.tensorrt.engine import write
from voxc.backends.tensorrt.legality import Reading
from voxc.backends.tensorrt.precisions import Precisions, precisions_file, read_precisions
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.program import export
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.runner import Artifact
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.manifest import read_manifest
from voxc.compiler.precision.decide import Decider
from voxc.compiler.precision.plans import read_plans
from voxc.passes.pipeline import pipeline

TARGETS = load_targets()
ORINS = [TARGETS[name] for name in ("jetson-orin-nano-jp5", "jetson-orin-nano-jp6")]
BACKEND = TensorRTBackend()
IMPLICIT = PrecisionRecipe().with_options(["int8"], implicit=True)


def emit(component: Component, target: Target, place: Path, recipe: PrecisionRecipe = IMPLICIT) -> Artifact:
    """A kit as the driver makes it, calibrated on what it is tried on."""
    program = export(component, {"T": FRAMES}, dynamic=False)
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program

    def samples(component: Component) -> list[dict[str, np.ndarray]]:
        return [component.reference_inputs({"T": FRAMES}, seed) for seed in (1, 2)]

    decider = Decider(target, recipe, samples, lambda program: pytest.fail("nothing to time"), "", lambda message: None)
    planned = decider.quantize(decider.decide(component, program).program)
    BACKEND.check(planned, target)
    return BACKEND.emit(planned, target, place)


def data_of(node: onnx.NodeProto, reading: Reading) -> list[str]:
    """The activations that a node takes and gives."""
    return [
        name
        for name in (*node.input, *node.output)
        if reading.type_of(name) == "FP32" and not reading.is_constant(name)
    ]


def open_nodes(reading: Reading, recipe: Precisions) -> list[onnx.NodeProto]:
    return [node for node in reading.nodes if recipe.layers.get(node.name) == "int8"]


@pytest.mark.parametrize("target", ORINS, ids=lambda target: target.name)
def test_all_that_may_be_int8_has_scales(synthesizer: Component, target: Target, tmp_path: Path) -> None:
    """Of all that each layer takes and gives, by the names that the parser sees, and of nothing that is not there."""
    artifact = emit(synthesizer, target, tmp_path)
    reading, recipe = Reading(onnx.load(artifact.files[0])), read_precisions(precisions_file(artifact.files[0]))
    cache = read_cache(cache_file(artifact.files[0]))
    assert recipe.implicit
    assert cache.version == target.tensorrt
    assert set(cache.scales) <= set(reading.kinds)
    layers = open_nodes(reading, recipe)
    assert len(layers) > 50
    assert {node.op_type for node in layers} >= {"Conv", "ConvTranspose", "LeakyRelu"}
    lacking = {name for node in layers for name in data_of(node, reading) if name not in cache.scales}
    assert not lacking
    assert not {node.op_type for node in reading.nodes} & {"QuantizeLinear", "DequantizeLinear"}


@pytest.mark.parametrize("component", [CHAIN, component_of(Product(), (1, 4, 8))], ids=["chain", "mixed"])
def test_the_file_computes_in_float32(component: Component, tmp_path: Path) -> None:
    artifact = emit(component, ORINS[0], tmp_path)
    inputs = component.reference_inputs({"T": FRAMES})
    found = OnnxRuntimeRunner(artifact.files[0], 1).run(inputs)["y"]
    expected = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"].numpy()
    assert np.abs(found - expected).max() <= 1e-5
    assert "float32, and int8 only where it is in the graph" in BACKEND.runtime().description


def test_what_is_moved_has_the_scale_of_what_it_is_made_of(tmp_path: Path) -> None:
    artifact = emit(CHAIN, ORINS[0], tmp_path)
    reading, recipe = Reading(onnx.load(artifact.files[0])), read_precisions(precisions_file(artifact.files[0]))
    scales = read_cache(cache_file(artifact.files[0])).scales
    moves = [node for node in open_nodes(reading, recipe) if node.op_type in ("Transpose", "Reshape", "Split")]
    assert moves
    for node in moves:
        assert {scales[name] for name in node.output} == {scales[node.input[0]]}


def test_products_stay_floats(tmp_path: Path) -> None:
    """TensorRT quantizes none by itself."""
    artifact = emit(component_of(Product(), (1, 4, 8)), ORINS[0], tmp_path)
    recipe = read_precisions(precisions_file(artifact.files[0]))
    placed = {each.op: (each.where, each.why) for each in BACKEND.explain(artifact.files[0], None)}  # type: ignore[arg-type]
    assert placed["Gemm"] == ("fp16", "")
    assert placed["Conv"] == ("int8 or fp16", "TensorRT's choice: what it times faster")
    assert artifact.operators["Conv"] == {"int8 or fp16": 2}
    assert "int8" in recipe.uses
    explicit = emit(component_of(Product(), (1, 4, 8)), ORINS[0], tmp_path, PrecisionRecipe().with_options(["int8"]))
    assert not read_precisions(precisions_file(explicit.files[0])).implicit
    assert explicit.operators["Gemm"] == {"int8": 1}


def test_scales_are_for_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a target without one, for that which is installed; pairs in the graph need none."""
    explicit = PrecisionRecipe().with_options(["int8"])
    monkeypatch.setattr(module, "installed_version", lambda: None)
    with pytest.raises(UnsupportedError, match=r"tensorrt: --implicit needs a calibration cache, .* none is installed"):
        emit(CHAIN, TARGETS["tensorrt"], tmp_path)
    files = emit(CHAIN, TARGETS["tensorrt"], tmp_path, explicit).files
    assert not any(file.name.endswith(".cache") for file in files)
    monkeypatch.setattr(module, "installed_version", lambda: "8.6.1.post1")
    artifact = emit(CHAIN, TARGETS["tensorrt"], tmp_path)
    assert read_cache(cache_file(artifact.files[0])).version == "8.6.1"


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_what_the_builder_is_told(gpu: Gpu, synthesizer: Component, tmp_path: Path, version: str) -> None:
    """The kit's scales, float32 for the islands, float16 for what could be int8 by its tensors; the rest is free."""
    file = emit(synthesizer, ORINS[1], tmp_path).files[0]
    gpu(version)
    engine = told(write(file)[0])
    assert engine["flags"] == ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"]
    header, *lines = engine["scales"].splitlines()
    assert header == f"TRT-{8601 if version == '8.6.1' else 100300}-EntropyCalibration2"
    scales = read_cache(cache_file(file)).scales
    assert len(lines) == len(scales)
    recipe, reading = read_precisions(precisions_file(file)), Reading(onnx.load(file))
    held = engine["held"]
    assert {held[name] for name, layer in recipe.layers.items() if layer == "fp32" and name in held} == {"FLOAT"}
    assert not {node.name for node in open_nodes(reading, recipe)} & set(held)
    halves = [node for node in reading.nodes if held.get(node.name) == "HALF"]
    assert all(set(data_of(node, reading)) <= set(scales) for node in halves)


def test_on_the_command_line(voice_file: Path, tmp_path: Path, voxc: Voxc) -> None:
    place, again = tmp_path / "kit", tmp_path / "again"
    asked = ("--target", "jetson-orin-nano-jp5", "--frames", 10, "--no-sample", "--min-snr", 3)
    result = voxc("compile", voice_file, *asked, "-p", "int8", "--implicit", "-o", place)
    assert result.exit_code == 0, result.stderr
    (component,) = read_manifest(place).build.components
    assert component.files[-1].path == "synthesizer.calibration.cache"
    assert component.min_snr_db == 3
    plan = read_plans(place).components["synthesizer"]
    assert plan.implicit
    figures = read_manifest(place).measurements.components["synthesizer"].figures
    assert figures["snr"].value is not None
    assert figures["snr"].value > 60
    rehearsed = figures["snr_rehearsed"]
    assert rehearsed.evidence == "estimate"
    assert "int8 wherever TensorRT may choose it" in rehearsed.how
    assert rehearsed.value is not None
    assert rehearsed.value < 60
    explained = json.loads(voxc("explain", place, "--json").stdout)["components"][0]
    assert set(explained["shares"]) == {"int8 or fp16", "fp16", "fp32"}
    assert any("layers may compute in int8" in told for told in explained["rewritten"])
    assert voxc("compile", voice_file, *asked, "--plan", place, "-o", again).exit_code == 0
    assert read_plans(again).components["synthesizer"] == plan
    assert (again / "synthesizer.onnx").read_bytes() == (place / "synthesizer.onnx").read_bytes()
    refused = voxc("compile", voice_file, *asked, "--plan", place, "--implicit", "-o", tmp_path / "other")
    assert "--plan says what is left to the runtime; leave out --implicit" in refused.stderr
