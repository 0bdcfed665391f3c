from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.compiler.families.generic.onnx.models import check_model, ints, model_of, random
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import export
from voxc.compiler.families.generic.onnx import read_onnx

X = random(1, 3, 8)


def save(model: onnx.ModelProto, directory: Path) -> Path:
    path = directory / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def open_model(*dims: int | str | None) -> onnx.ModelProto:
    """y = x + 1 with these sizes."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name in "xy")
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"], "the/sum")], "graph", [x], [y], [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_specs_and_facts(tmp_path: Path) -> None:
    network = read_onnx(save(open_model(1, "T"), tmp_path), {"T": 9})
    (x,), (y,) = network.inputs, network.outputs
    assert (x.name, x.shape, x.dtype) == ("x", (1, 9), "float32")
    assert (y.name, y.shape, y.dtype) == ("y", (1, 9), "float32")
    assert network.facts["opset"] == 18
    assert network.facts["nodes"] == 1


@pytest.mark.parametrize(
    ("dims", "sizes", "message"),
    [
        ((1, "T"), {}, r"sizes left open: T \(axis 1 of input x\); give them: --size T=N"),
        ((1, None), {}, r"give them: --size x.1=N"),
        ((1, "T"), {"T": 0}, "size T is 0; sizes are at least 1"),
        ((1, "T"), {"T": 3, "U": 3}, "no input has a size called 'U'; it has T"),
        ((1, 3), {"T": 3}, "no input has a size called 'T'; all its sizes are fixed"),
        ((1, "T"), {"T": 1 << 40}, "at most"),
    ],
)
def test_open_sizes(dims: tuple[int | str | None, ...], sizes: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_onnx(save(open_model(*dims), tmp_path), sizes)


def test_sizes_are_bound_by_axis(tmp_path: Path) -> None:
    assert read_onnx(save(open_model(None, 2), tmp_path), {"x.0": 4}).inputs[0].shape == (4, 2)


def test_nodes_of_the_export_name_those_of_the_file(tmp_path: Path) -> None:
    network = read_onnx(save(open_model(1, 4), tmp_path))
    component = Component(
        "generic", network.module, network.inputs, (), network.outputs, lambda frames, seed=0: {"x": random(1, 4)}
    )
    program = export(component, {}, dynamic=False)
    assert [module_path(node) for node in program.graph.nodes if node.op == "call_function"] == ["the/sum"]


def test_weights_keep_their_names(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "encoder.proj.weight"], ["y"])
    model = model_of([node], {"x": X}, ["y"], {"encoder.proj.weight": random(8, 2, seed=1)})
    network = check_model(model, {"x": X}, tmp_path)
    assert [name for name, _ in network.module.named_parameters()] == ["encoder_proj_weight"]


def test_names_may_be_anything(tmp_path: Path) -> None:
    strange = ["forward", "a.b", "a b", "self); import os  #", "a_b"]
    nodes = [
        helper.make_node("Add", [before, f"w{before}"], [after], name=before)
        for before, after in zip(strange, [*strange[1:], "y"], strict=True)
    ]
    weights = {f"w{name}": random(8, seed=place) for place, name in enumerate(strange)}
    check_model(model_of(nodes, {"forward": X}, ["y"], weights), {"forward": X}, tmp_path)


def test_float16_is_read_as_float32(tmp_path: Path) -> None:
    half = X.astype(np.float16)
    model = model_of([helper.make_node("Mul", ["x", "w"], ["y"])], {"x": half}, ["y"], {"w": half})
    network = read_onnx(save(model, tmp_path))
    assert network.inputs[0].dtype == network.outputs[0].dtype == "float32"
    y = network.module(torch.from_numpy(half.astype(np.float32)))
    np.testing.assert_allclose(y.numpy(), half.astype(np.float32) ** 2)


def test_an_output_may_be_an_input_or_a_constant(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Identity", ["w"], ["fixed"])]
    check_model(model_of(nodes, {"x": X}, ["same", "fixed"], {"w": random(2)}), {"x": X}, tmp_path)


def test_nodes_that_nothing_needs_are_left_out(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["unused"]), helper.make_node("Abs", ["x"], ["y"])]
    network = check_model(model_of(nodes, {"x": X}, ["y"]), {"x": X}, tmp_path)
    assert [name for name, _ in network.module.named_children()] == ["Abs:y"]


@pytest.mark.parametrize("chosen", [True, False])
def test_if_with_a_constant_condition(chosen: bool, tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op_type, ["x", "c"], ["r"])], name, [], [helper.make_tensor_value_info("r", 1, None)],
            [helper.make_tensor("c", 1, [], [value])],
        )
        for name, op_type, value in (("then", "Add", 2.0), ("else", "Mul", 3.0))
    }  # fmt: skip
    model = model_of([helper.make_node("If", ["c"], ["y"], **branches)], {"x": X}, ["y"], {"c": np.array(chosen)})
    check_model(model, {"x": X}, tmp_path)


def test_if_with_another_condition_is_refused(tmp_path: Path) -> None:
    empty = helper.make_graph([], "g", [], [])
    node = helper.make_node("If", ["x"], ["y"], name="choice", then_branch=empty, else_branch=empty)
    model = model_of([node], {"x": np.array(True)}, ["y"])
    with pytest.raises(CheckpointError, match="node choice: If .*its condition depend on the values of the inputs"):
        read_onnx(save(model, tmp_path))


def test_functions_of_the_file_are_written_out(tmp_path: Path) -> None:
    alpha = helper.make_node("LeakyRelu", ["a"], ["b"], name="bend")
    alpha.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    function = helper.make_function(
        "mine", "Bend", ["a"], ["d"], [alpha, helper.make_node("Neg", ["b"], ["d"])],
        [helper.make_opsetid("", 18)], attributes=["slope"],
    )  # fmt: skip
    node = helper.make_node("Bend", ["x"], ["y"], name="call", domain="mine", slope=0.3)
    x, y = (helper.make_tensor_value_info(name, 1, X.shape) for name in "xy")
    graph = helper.make_graph([node], "graph", [x], [y])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8)
    network = check_model(model, {"x": X}, tmp_path)
    assert [name for name, _ in network.module.named_children()] == ["call/bend", "call/Neg"]


def test_functions_that_call_themselves_are_refused(tmp_path: Path) -> None:
    again = [helper.make_node("Again", ["a"], ["b"], domain="mine")]
    function = helper.make_function("mine", "Again", ["a"], ["b"], again, [helper.make_opsetid("mine", 1)])
    model = open_model(1, 4)
    model.functions.append(function)
    model.graph.node[0].CopyFrom(helper.make_node("Again", ["x"], ["y"], domain="mine"))
    with pytest.raises(CheckpointError, match="nested more than"):
        read_onnx(save(model, tmp_path))


@pytest.mark.parametrize(
    ("op_type", "domain", "message"),
    [
        ("Loop", "", r"model.onnx: node n: Loop \(opset 18\): loops are not supported"),
        ("Frobnicate", "", r"node n: Frobnicate \(opset 18\): this operator is not supported"),
        ("FusedThing", "com.vendor", r"node n: com.vendor.FusedThing \(opset 1\): this operator is not supported"),
        ("RandomNormalLike", "", "export the network with its noise as an input"),
    ],
)
def test_what_cannot_be_read_is_named(op_type: str, domain: str, message: str, tmp_path: Path) -> None:
    model = open_model(1, 4)
    model.graph.node[0].CopyFrom(helper.make_node(op_type, ["x"], ["y"], name="n", domain=domain))
    with pytest.raises(CheckpointError, match=message):
        read_onnx(save(model, tmp_path))


def test_old_opsets_are_refused(tmp_path: Path) -> None:
    model = open_model(1, 4)
    model.opset_import[0].version = 6
    with pytest.raises(CheckpointError, match="opsets before 7 are not supported"):
        read_onnx(save(model, tmp_path))


def test_missing_values_and_outputs(tmp_path: Path) -> None:
    model = open_model(1, 4)
    model.graph.node[0].input[0] = "elsewhere"
    with pytest.raises(CheckpointError, match="its input 'elsewhere' is nowhere computed"):
        read_onnx(save(model, tmp_path))
    model = open_model(1, 4)
    model.graph.output[0].name = "z"
    with pytest.raises(CheckpointError, match="no node computes the output z"):
        read_onnx(save(model, tmp_path))


def test_constants_do_not_grow_beyond_measure(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Expand", ["one", "huge"], ["wide"], name="blow"),
        helper.make_node("Add", ["x", "wide"], ["y"]),
    ]
    model = model_of(nodes, {"x": X}, ["y"], {"one": np.array([1], np.float32), "huge": ints(1 << 40)})
    with pytest.raises(CheckpointError, match="node blow: Expand .*at most"):
        read_onnx(save(model, tmp_path))
