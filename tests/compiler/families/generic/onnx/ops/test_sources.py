from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from tests.compiler.families.generic.onnx.models import check_model, check_node, ints, model_of, random

X = random(2, 3, 4)


def test_shapes_are_constants(tmp_path: Path) -> None:
    """[B, C, T] to [B, T, C] by way of Shape, as exporters write it: nothing of the arithmetic is left."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "two"], ["time"]),
        helper.make_node("Mul", ["time", "two"], ["twice"]),
        helper.make_node("Unsqueeze", ["twice", "zero"], ["row"]),
        helper.make_node("Concat", ["row", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    constants = {"two": np.array(2, np.int64), "zero": ints(0), "rest": ints(-1)}
    network = check_model(model_of(nodes, {"x": X}, ["y"], constants), {"x": X}, tmp_path)
    assert [name for name, _ in network.module.named_children()] == ["Reshape:y"]


def test_shape_of_a_part(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["tail"], start=1),
        helper.make_node("ConstantOfShape", ["tail"], ["ones"], value=helper.make_tensor("v", 1, [1], [3.0])),
        helper.make_node("Size", ["x"], ["count"]),
        helper.make_node("Cast", ["count"], ["number"], to=1),
        helper.make_node("Add", ["x", "ones"], ["sum"]),
        helper.make_node("Div", ["sum", "number"], ["y"]),
    ]
    check_model(model_of(nodes, {"x": X}, ["y"]), {"x": X}, tmp_path)


def test_range_and_constants(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["begin"], value_int=4),
        helper.make_node("Constant", [], ["end"], value_int=-4),
        helper.make_node("Constant", [], ["step"], value_int=-2),
        helper.make_node("Range", ["begin", "end", "step"], ["places"]),
        helper.make_node("Cast", ["places"], ["floats"], to=1),
        helper.make_node("Constant", [], ["more"], value_floats=[0.5, 1.5, 2.5, 3.5]),
        helper.make_node("Add", ["floats", "more"], ["row"]),
        helper.make_node("Add", ["x", "row"], ["y"]),
    ]
    check_model(model_of(nodes, {"x": X}, ["y"]), {"x": X}, tmp_path)


def test_identity_matrix(tmp_path: Path) -> None:
    check_node(tmp_path, "EyeLike", [random(3, 4)], k=1)


def test_non_zero_of_constants(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["mask"], ["places"]),
        helper.make_node("Squeeze", ["places", "zero"], ["row"]),
        helper.make_node("Gather", ["x", "row"], ["y"], axis=2),
    ]
    constants = {"mask": np.array([True, False, True, True]), "zero": ints(0)}
    check_model(model_of(nodes, {"x": X}, ["y"], constants), {"x": X}, tmp_path)
