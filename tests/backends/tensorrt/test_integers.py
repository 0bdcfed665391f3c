from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.backends.tensorrt.test_implicit import ORINS, emit
from tests.passes.harness import FRAMES, component_of
from tests.passes.precision.test_leave_integers_open import Residual
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.calibration_cache import cache_file, read_cache
from voxc.backends.tensorrt.integers import with_integers
from voxc.backends.tensorrt.precisions import precisions_file, read_precisions
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.tensor import Array

RESIDUAL = component_of(Residual(), (1, 4, 64))


def in_integers(component: Component, place: Path, widened: float = 1.0) -> onnx.ModelProto:
    file = emit(component, ORINS[0], place).files[0]
    scales = {name: scale * widened for name, scale in read_cache(cache_file(file)).scales.items()}
    return with_integers(onnx.load(file), read_precisions(precisions_file(file)), scales)


def run(model: onnx.ModelProto, component: Component, place: Path) -> Array:
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, place / "rehearsal.onnx")
    return OnnxRuntimeRunner(place / "rehearsal.onnx", 1, exact=True).run(component.reference_inputs({"T": FRAMES}))[
        "y"
    ]


def test_integers_cost_what_their_steps_do(tmp_path: Path) -> None:
    """About 6 dB less where steps are twice as wide, of activations alone; of weights they stay."""
    tensors = {name: torch.from_numpy(array) for name, array in RESIDUAL.reference_inputs({"T": FRAMES}).items()}
    expected = RESIDUAL.run(tensors)["y"].numpy()
    fine, coarse = (
        snr_db(expected, run(in_integers(RESIDUAL, tmp_path, widened), RESIDUAL, tmp_path)) for widened in (1.0, 8.0)
    )
    assert 25 < fine < 50
    assert fine - 20 < coarse < fine - 10


def test_every_open_layer_stands_between_pairs(tmp_path: Path) -> None:
    """But for what a kernel adds or cuts off itself: the convolution before the sum gives it floats."""
    model = in_integers(RESIDUAL, tmp_path)
    makers = {name: node for node in model.graph.node for name in node.output}
    users = {name: node for node in model.graph.node for name in node.input}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    for node in convolutions:
        assert [makers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    assert [users[node.output[0]].op_type for node in convolutions] == ["QuantizeLinear", "Add", "QuantizeLinear"]
    (inner, outer) = (node for node in model.graph.node if node.op_type == "Add")
    assert sorted(makers[name].op_type for name in inner.input) == ["Conv", "DequantizeLinear"]
    assert users[inner.output[0]].op_type == "QuantizeLinear"
    assert {makers[name].op_type for name in outer.input} == {"DequantizeLinear", "Sigmoid"}


def test_a_rehearsal_has_all_that_may_be_int8_in_it(tmp_path: Path) -> None:
    file = emit(RESIDUAL, ORINS[0], tmp_path).files[0]
    rehearsal = TensorRTBackend().rehearse(file, 1)
    assert rehearsal is not None
    assert rehearsal.runtime.evidence == "estimate"
    assert "int8 wherever TensorRT may choose it" in rehearsal.runtime.description
    inputs = RESIDUAL.reference_inputs({"T": FRAMES})
    exact, found = (each.run(inputs)["y"] for each in (OnnxRuntimeRunner(file, 1), rehearsal.runner))
    assert 25 < snr_db(exact, found) < 50
    cache_file(file).unlink()
    with pytest.raises(BundleError, match="not readable as a calibration cache"):
        TensorRTBackend().rehearse(file, 1)


def test_a_voice(synthesizer: Component, tmp_path: Path) -> None:
    """Pairs are valid wherever they stand, and phases are without."""
    file = emit(synthesizer, ORINS[1], tmp_path).files[0]
    scales, recipe = read_cache(cache_file(file)).scales, read_precisions(precisions_file(file))
    model = with_integers(onnx.load(file), recipe, scales)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, tmp_path / "rehearsal.onnx")
    inputs = synthesizer.reference_inputs({"T": FRAMES})
    exact, found = (OnnxRuntimeRunner(each, 1).run(inputs)["audio"] for each in (file, tmp_path / "rehearsal.onnx"))
    assert np.isfinite(found).all()
    assert 5 < snr_db(exact, found) < 60
