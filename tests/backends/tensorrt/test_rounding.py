from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.backends.tensorrt.test_golden import TARGETS, golden_pair
from tests.compiler.families.rvc.test_synthesizer import SLOW_VOICES
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.precisions import Arithmetic, Precisions, precisions_file, read_precisions
from voxc.backends.tensorrt.rounding import rounding_runner
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.tensor import Array

WEIGHT = np.float32([[1.0001, 0.3], [0.7, 2.0003]])
X = np.float32([[0.1, 1000.3], [7e-8, -3.3]])


def write(path: Path, *layers: Arithmetic) -> Precisions:
    """x @ WEIGHT, its square, and that as integers: one operator for each of `layers`."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Mul", ["product", "product"], ["square"], name="square"),
        helper.make_node("Cast", ["square"], ["whole"], name="whole", to=TensorProto.INT32),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [
            helper.make_tensor_value_info("square", TensorProto.FLOAT, [2, 2]),
            helper.make_tensor_value_info("whole", TensorProto.INT32, [2, 2]),
        ],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    named = dict(zip(("product", "square"), layers, strict=True))
    return Precisions(component="net", tensorrt="8.2.1", opset=13, default="fp16", layers=named)


def run(path: Path, recipe: Precisions, x: Array = X) -> dict[str, Array]:
    return rounding_runner(path, recipe, 1).run({"x": x})


def half(x: Array) -> Array:
    return x.astype(np.float16).astype(np.float32)


def test_what_half_layers_take_and_give_is_rounded(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    small = X / 100
    found = run(path, write(path, "fp16", "fp16"), small)
    product = half(half(small) @ half(WEIGHT))
    np.testing.assert_array_equal(found["square"], half(product * product))
    np.testing.assert_array_equal(found["whole"], found["square"].astype(np.int32))
    before = run(path, write(path, "fp16", "fp32"), small)["square"]
    np.testing.assert_array_equal(before, product * product)
    after = run(path, write(path, "fp32", "fp16"), small)["square"]
    exact = small @ WEIGHT
    np.testing.assert_array_equal(after, half(half(exact) * half(exact)))
    assert not np.array_equal(before, after)


def test_what_float16_does_not_hold_is_infinite(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    assert np.isinf(run(path, write(path, "fp16", "fp16"))["square"]).any()
    assert np.isfinite(run(path, write(path, "fp16", "fp32"))["square"]).all()


@pytest.mark.parametrize("name", SLOW_VOICES)
def test_golden_pairs_in_float16(golden: Path, tmp_path: Path, name: str) -> None:
    """The islands keep what float16 costs small; without them, nothing that is a number may come out."""
    target = TARGETS["jetson-nano"]
    program, inputs, expected = golden_pair(golden, name, target)
    path, *_ = TensorRTBackend().emit(program, target, tmp_path).files
    recipe = read_precisions(precisions_file(path))
    assert "fp16" in recipe.layers.values()

    def snr(recipe: Precisions) -> float:
        return snr_db(expected, rounding_runner(path, recipe, 2).run(inputs)["audio"])

    everywhere = recipe.model_copy(update={"layers": dict.fromkeys(recipe.layers, "fp16")})
    found, without = snr(recipe), snr(everywhere)
    print(f"{name}: {found:.1f} dB, without islands {without:.1f} dB")
    assert found > 35
    assert without < found


def test_a_recipe_without_float16_has_nothing_to_rehearse(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for layers, rehearsed in ((("fp32", "fp32"), False), (("fp32", "fp16"), True)):
        write(path, *layers).write(precisions_file(path))  # type: ignore[arg-type]
        rehearsal = TensorRTBackend().rehearse(path, 1)
        assert (rehearsal is not None) == rehearsed
    assert rehearsal is not None
    assert rehearsal.runtime.evidence == "estimate"
    assert "rounded to float16" in rehearsal.runtime.description
    assert set(rehearsal.runner.run({"x": X})) == {"square", "whole"}
