from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.compiler.families.generic.onnx.models import check_model, model_of, random

X = random(2, 3, 8)


@pytest.mark.parametrize("zero", [np.array(3, np.int8), np.array(130, np.uint8), None])
def test_activations_are_rounded(zero: np.ndarray | None, tmp_path: Path) -> None:
    scale = {"scale": np.array(0.02, np.float32)} | ({} if zero is None else {"zero": zero})
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *scale], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *scale], ["y"]),
    ]
    network = check_model(model_of(nodes, {"x": X}, ["y"], scale), {"x": X}, tmp_path, tolerance=1e-6)
    assert network.warnings == ("activations that the file has in integers are rounded to them in floats",)


def test_activations_by_channel(tmp_path: Path) -> None:
    scale = {"scale": np.array([0.02, 0.1, 0.5], np.float32), "zero": np.array([0, 5, -9], np.int8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *scale], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", *scale], ["y"], axis=1),
    ]
    check_model(model_of(nodes, {"x": X}, ["y"], scale), {"x": X}, tmp_path, tolerance=1e-6)


def test_weights_become_floats(tmp_path: Path) -> None:
    integers = np.random.default_rng(1).integers(-127, 128, (4, 3, 3)).astype(np.int8)
    constants = {
        "w": integers,
        "scale": np.array([0.01, 0.02, 0.03, 0.04], np.float32),
        "zero": np.array([0, 1, 2, 3], np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["weight"], axis=0),
        helper.make_node("Conv", ["x", "weight"], ["y"]),
    ]
    network = check_model(model_of(nodes, {"x": X}, ["y"], constants), {"x": X}, tmp_path)
    assert not network.warnings
    floats = (integers - constants["zero"][:, None, None].astype(int)) * constants["scale"][:, None, None]
    np.testing.assert_array_equal(dict(network.module.named_parameters())["weight"], floats.astype(np.float32))


def test_weights_in_blocks(tmp_path: Path) -> None:
    integers = np.random.default_rng(1).integers(-127, 128, (8, 4)).astype(np.int8)
    constants = {"w": integers, "scale": np.abs(random(2, 4)) + 0.01}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["weight"], axis=0, block_size=4),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    check_model(model_of(nodes, {"x": X}, ["y"], constants, opset=21), {"x": X}, tmp_path, tolerance=1e-4)
