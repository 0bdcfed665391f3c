from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.backends.onnx.test_quantization import BLOCKS, optimized, quantized
from voxc.backends.onnx.emitter import emit
from voxc.backends.onnx.reader import count_operators
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.target import Target


def emitted(target: Target, precision: Precision, folder: Path) -> Path:
    (file,) = emit(quantized(BLOCKS, target, precision), 20, folder / "y.onnx")
    return file


def test_integers_are_what_the_runtime_fuses(target: Target, tmp_path: Path) -> None:
    file = emitted(target, "int8", tmp_path)
    counts, fused = count_operators(file), optimized(file, tmp_path)
    assert counts["Conv"] == {"fp32": 1, "int8": 5}, "the last gives audio"
    assert counts["Conv"]["int8"] == fused["QLinearConv"]
    assert counts["LeakyRelu"]["int8"] == fused["QLinearLeakyRelu"] == 4
    assert counts["Add"] == {"fp32": 1, "int8": 1}
    assert counts["Add"]["int8"] == fused["QLinearAdd"]
    assert counts["Tanh"] == {"fp32": 1}
    assert set(counts["QuantizeLinear"]) == set(counts["DequantizeLinear"]) == {"int8"}


@pytest.mark.parametrize("precision", ["w8", "fp16", "fp32"])
def test_weights_alone(target: Target, tmp_path: Path, precision: Precision) -> None:
    counts = count_operators(emitted(target, precision, tmp_path))
    assert counts["Conv"] == ({"fp32": 6} if precision == "fp32" else dict(sorted({precision: 5, "fp32": 1}.items())))
    assert counts["LeakyRelu"] == {"fp32": 5}
    assert counts["Add"] == {"fp32": 2}


@pytest.mark.parametrize("precision", ["int8", "w8", "fp16", "fp32"])
def test_every_operator_is_counted_once(target: Target, tmp_path: Path, precision: Precision) -> None:
    file = emitted(target, precision, tmp_path)
    counts = count_operators(file)
    names = [node.op_type for node in onnx.load(file).graph.node]
    assert {name: sum(found.values()) for name, found in counts.items()} == {name: names.count(name) for name in names}
    assert list(counts) == sorted(counts)


SCALE, ZERO = "scale", "zero"


def written(folder: Path, other: str, *, output: str = "quantized") -> Path:
    """y = x + other between integers, where `other` is `input`, `constant` or `integers`, and the sum is quantized, or
    also `used` as it is."""
    dequantize = [helper.make_node("DequantizeLinear", [name, SCALE, ZERO], [f"{name}_real"]) for name in ("x", "z")]
    second = {"input": "f", "constant": "c", "integers": "z_real"}[other]
    nodes = [
        *dequantize,
        helper.make_node("Add", ["x_real", second], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", SCALE, ZERO], ["y"]),
        helper.make_node("Neg", ["sum" if output == "used" else "z_real"], ["other"]),
    ]
    constants = {SCALE: np.float32(0.1), ZERO: np.uint8(3), "c": np.ones(4, np.float32)}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, kind, [4]) for name, kind in (
            ("x", TensorProto.UINT8), ("z", TensorProto.UINT8), ("f", TensorProto.FLOAT))],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [4]),
         helper.make_tensor_value_info("other", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "y.onnx")
    return folder / "y.onnx"


def test_a_sum_of_integers_that_is_quantized_is_an_integer(tmp_path: Path) -> None:
    file = written(tmp_path, "integers")
    assert count_operators(file)["Add"] == {"int8": 1}
    assert optimized(file, tmp_path)["QLinearAdd"] == 1


@pytest.mark.parametrize("other", ["input", "constant"])
def test_a_sum_with_a_float_is_none(tmp_path: Path, other: str) -> None:
    file = written(tmp_path, other)
    assert "int8" not in count_operators(file)["Add"]
    assert optimized(file, tmp_path)["QLinearAdd"] == 0


def test_a_sum_that_floats_use_is_none(tmp_path: Path) -> None:
    file = written(tmp_path, "integers", output="used")
    assert "int8" not in count_operators(file)["Add"]
    assert optimized(file, tmp_path)["QLinearAdd"] == 0
