"""Kits whose int8 is for the builder to choose: a graph in floats, and the scales of all that may be int8 beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import FRAMES, component_of
from tests.passes.test_leave_integers_open import CHAIN
from voxc.backends.base import Artifact
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt import backend as module
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.calibration_cache import cache_file, read_cache
from voxc.backends.tensorrt.legality import Reading
from voxc.backends.tensorrt.precisions import Precisions, precisions_file, read_precisions
from voxc.compiler.errors import UnsupportedError
from voxc.compiler.precision.decide import Decider
from voxc.compiler.precision.recipe import PrecisionRecipe
from voxc.compiler.program import Component, export
from voxc.compiler.target import Target, load_targets
from voxc.passes.pipeline import pipeline

TARGETS = load_targets()
ORINS = [TARGETS[name] for name in ("jetson-orin-nano-jp5", "jetson-orin-nano-jp6")]
BACKEND = TensorRTBackend()
IMPLICIT = PrecisionRecipe().with_options(["int8"], implicit=True)


class Mixed(nn.Module):
    """A convolution and a product between activations."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear, self.last = nn.Conv1d(4, 4, 3, padding=1), nn.Linear(8, 8), nn.Conv1d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.linear(F.relu(self.conv(x)))))


def emit(component: Component, target: Target, place: Path, recipe: PrecisionRecipe = IMPLICIT) -> Artifact:
    """A kit as the driver makes it, calibrated on what it is tried on."""
    program = export(component, FRAMES, dynamic=False)
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program

    def samples(component: Component) -> list[dict[str, np.ndarray]]:
        return [component.reference_inputs(FRAMES, seed) for seed in (1, 2)]

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


@pytest.mark.parametrize("component", [CHAIN, component_of(Mixed(), (1, 4, 8))], ids=["chain", "mixed"])
def test_the_file_computes_in_float32(component: Component, tmp_path: Path) -> None:
    artifact = emit(component, ORINS[0], tmp_path)
    inputs = component.reference_inputs(FRAMES)
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
    artifact = emit(component_of(Mixed(), (1, 4, 8)), ORINS[0], tmp_path)
    recipe = read_precisions(precisions_file(artifact.files[0]))
    told = {each.op: (each.where, each.why) for each in BACKEND.explain(artifact.files[0], None)}  # type: ignore[arg-type]
    assert told["Gemm"] == ("fp16", "")
    assert told["Conv"] == ("int8 or fp16", "TensorRT's choice: what it times faster")
    assert artifact.operators["Conv"] == {"int8 or fp16": 2}
    assert "int8" in recipe.uses
    explicit = emit(component_of(Mixed(), (1, 4, 8)), ORINS[0], tmp_path, PrecisionRecipe().with_options(["int8"]))
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
