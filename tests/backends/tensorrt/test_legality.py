"""Each rule of the proof, on a file that breaks it and on one that nearly does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from voxc.backends.tensorrt.legality import Reading, complaints
from voxc.backends.tensorrt.table import parse_version, table_for
from voxc.compiler.core.tensor import Array

FLOAT, INT32, INT64, BOOL, DOUBLE = (
    TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.DOUBLE
)  # fmt: skip


def model(
    nodes: Sequence[NodeProto],
    inputs: dict[str, tuple[int, list[int]]],
    outputs: dict[str, tuple[int, list[int] | None]],
    constants: dict[str, Array] | None = None,
    opset: int = 13,
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, *each) for name, each in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def reasons(given: ModelProto, version: str) -> list[str]:
    found = complaints(Reading(given), table_for(parse_version(version)))
    return [f"{each.op or each.node}: {each.reason}" for each in found]


def one(op: str, *inputs: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, list(inputs), ["y"], name=f"m/{op}", **attributes)


X = {"x": (FLOAT, [1, 4, 6])}
Y: dict[str, tuple[int, list[int] | None]] = {"y": (FLOAT, None)}


def test_operators_by_version() -> None:
    mod = model([one("Mod", "x", "x", fmod=1)], X, Y)
    assert reasons(mod, "8.2.1") == ["Mod: the parser does not know it"]
    assert reasons(mod, "8.5.2") == []


def test_operators_of_other_domains() -> None:
    given = model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], X, {"y": (FLOAT, [1, 4, 6])})
    given.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert reasons(given, "10.3") == ["Gelu: its domain is com.microsoft"]


def test_restrictions_that_are_not_checked_are_refused() -> None:
    pool = model([one("AveragePool", "x", kernel_shape=[2])], X, Y)
    assert reasons(pool, "8.6") == ["AveragePool: it has restrictions that are not checked"]


def test_the_opset() -> None:
    given = model([one("Relu", "x")], X, Y, opset=17)
    assert reasons(given, "8.2.1") == [": the file has opset 17, and the parser ends at 13"]
    assert reasons(given, "8.5") == []


def test_types_of_data() -> None:
    given = model([one("ReduceSum", "x")], {"x": (INT64, [4])}, {"y": (INT64, [1])})
    assert reasons(given, "8.2") == ["ReduceSum: its data are INT64, and the parser takes FP16, FP32"]
    assert reasons(given, "10.0") == []


def test_integers_of_64_bits_are_read_as_32() -> None:
    """Adding is for INT32 in version 8.2, which is what INT64 becomes."""
    assert reasons(model([one("Add", "x", "x")], {"x": (INT64, [4])}, {"y": (INT64, [4])}), "8.2") == []


@pytest.mark.parametrize(("value", "legal"), [(2**31 - 1, True), (-(2**31), True), (2**31, False), (-(2**40), False)])
def test_integers_beyond_32_bits(value: int, legal: bool) -> None:
    given = model([one("Add", "x", "c")], {"x": (INT64, [1])}, {"y": (INT64, [1])}, {"c": np.array([value])})
    assert reasons(given, "8.6") == ([] if legal else ["Add: c is beyond 32 bits"])
    assert reasons(given, "10.0") == []


def test_the_end_of_a_slice_may_be_far() -> None:
    far = {"s": np.array([1]), "e": np.array([2**63 - 1]), "a": np.array([2])}
    assert reasons(model([one("Slice", "x", "s", "e", "a")], X, Y, far), "8.2") == []


def test_conditions_and_places_are_no_data() -> None:
    """Where takes truth values beside its data, Gather integers."""
    nodes = [
        helper.make_node("Greater", ["x", "c"], ["b"], name="m/Greater"),
        helper.make_node("Where", ["b", "x", "c"], ["w"], name="m/Where"),
        one("Gather", "w", "i", axis=2),
    ]
    constants = {"c": np.float32(0), "i": np.array([0, 1])}
    assert reasons(model(nodes, X, Y, constants), "8.2") == []


def test_what_is_chosen_is_data() -> None:
    nodes = [helper.make_node("Greater", ["x", "c"], ["b"], name="m/Greater"), one("Where", "b", "d", "d")]
    given = model(nodes, X, {"y": (DOUBLE, None)}, {"c": np.float32(0), "d": np.float64(0)})
    assert "Where: its data are FP64, and the parser takes BOOL, FP16, FP32, INT32" in reasons(given, "8.2")


def test_truth_values_that_an_operator_does_not_move() -> None:
    nodes = [helper.make_node("Greater", ["x", "c"], ["b"], name="m/Greater"), one("Gather", "b", "i", axis=2)]
    given = model([*nodes, helper.make_node("Cast", ["y"], ["z"], to=FLOAT)], X, {"z": (FLOAT, None)},
                  {"c": np.float32(0), "i": np.array([0, 1])})  # fmt: skip
    assert reasons(given, "8.2") == ["Gather: its data are BOOL, and the parser takes FP16, FP32, INT32, INT8"]
    assert reasons(given, "8.5") == []


def test_doubles_are_refused() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["d"], to=DOUBLE, name="m/Cast"), one("Cast", "d", to=FLOAT)]
    assert [each.partition(":")[2] for each in reasons(model(nodes, X, Y), "10.0")] == [
        " its data are FP64, and the parser takes BF16, BOOL, FP16, FP32, INT32, INT64, UINT8"
    ] * 2


@pytest.mark.parametrize("kind", [BOOL, DOUBLE])
def test_borders(kind: int) -> None:
    given = model([one("Cast", "x", to=FLOAT)], {"x": (kind, [4])}, {"y": (FLOAT, [4])})
    assert reasons(given, "8.6")[0] == f"x: a network cannot take or give {'BOOL' if kind == BOOL else 'FP64'}"


WEIGHT = {"w": np.ones((2, 4, 3), np.float32), "b": np.ones(2, np.float32)}


def test_convolutions_of_rank_1() -> None:
    given = model([one("Conv", "x", "w", "b")], X, Y, WEIGHT)
    assert reasons(given, "8.2") == ["Conv: X has 3 axes, not 4 to 5"]
    assert reasons(given, "8.5") == []


PLANE = {"x": (FLOAT, [1, 4, 1, 6])}


def test_weights_come_from_the_file() -> None:
    given = model([one("Conv", "x", "w", "b")], {**PLANE, "w": (FLOAT, [2, 4, 1, 3])}, Y, {"b": np.ones(2, np.float32)})
    assert reasons(given, "8.2") == ["Conv: W is computed, and the parser wants it in the file"]
    assert reasons(given, "8.5") == []
    moved = model([one("Conv", "x", "w", "b")], {**PLANE, "b": (FLOAT, [2])}, Y,
                  {"w": np.ones((2, 4, 1, 3), np.float32)})  # fmt: skip
    assert reasons(moved, "10.0") == ["Conv: B is computed, and the parser wants it in the file"]


def test_weights_that_go_through_integers_come_from_the_file() -> None:
    constants = {
        "w": np.ones((2, 4, 1, 3), np.float32), "b": np.ones(2, np.float32), "s": np.ones(2, np.float32),
        "z": np.zeros(2, np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=0),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=0),
        one("Conv", "x", "d", "b"),
    ]
    assert reasons(model(nodes, PLANE, Y, constants), "8.2") == []
    constants["z"] = np.ones(2, np.int8)
    assert reasons(model(nodes, PLANE, Y, constants), "8.2") == [
        "QuantizeLinear: y_zero_point is not zero", "DequantizeLinear: x_zero_point is not zero"
    ]  # fmt: skip
    constants |= {"z": np.zeros(2, np.int8), "s": np.array([1, 0], np.float32)}
    assert reasons(model(nodes, PLANE, Y, constants), "10.0") == [
        "QuantizeLinear: y_scale is not positive throughout", "DequantizeLinear: x_scale is not positive throughout"
    ]  # fmt: skip


def test_a_bias_in_integers_is_refused() -> None:
    constants = {"w": np.ones((2, 4, 1, 3), np.float32), "b": np.ones(2, np.int32), "s": np.ones(2, np.float32),
                 "z": np.zeros(2, np.int32)}  # fmt: skip
    nodes = [helper.make_node("DequantizeLinear", ["b", "s", "z"], ["d"], axis=0), one("Conv", "x", "w", "d")]
    assert reasons(model(nodes, PLANE, Y, constants), "8.5") == [
        "DequantizeLinear: its data are INT32, and the parser takes INT8",
        "Conv: B is computed, and the parser wants it in the file",
    ]


@pytest.mark.parametrize(("largest", "version", "legal"), [(0, "8.2", False), (1, "8.2", True), (0, "8.5", True)])
def test_the_smallest_are_not_to_be_had(largest: int, version: str, legal: bool) -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"], largest=largest, name="m/TopK")
    given = model([node], X, {"y": (FLOAT, None), "i": (INT64, None)}, {"k": np.array([2])})
    told = "TopK: largest is 0, and the parser does as if it were 1"
    assert reasons(given, version) == ([] if legal else [told])


def test_axes_come_from_the_file() -> None:
    given = model([one("Unsqueeze", "x", "a")], {**X, "a": (INT64, [1])}, {"y": (FLOAT, [1, 4, 6, 1])})
    assert reasons(given, "8.2") == ["Unsqueeze: axes is computed, and the parser wants it in the file"]
    constant = helper.make_node("Constant", [], ["a"], value=numpy_helper.from_array(np.array([0]), "a"))
    assert reasons(model([constant, one("Unsqueeze", "x", "a")], X, Y), "8.2") == []
