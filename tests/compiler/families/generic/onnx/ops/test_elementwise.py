from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.compiler.families.generic.onnx.models import check_model, check_node, model_of, random

X = random(2, 3, 4)
Y = random(3, 1, seed=1)
POSITIVE = np.abs(X) + 0.5
UNIT = np.tanh(X) * 0.9
LEFT, RIGHT = X > 0, random(2, 3, 4, seed=2) > 0
WHOLE = np.array([[7, -7, 5], [-8, 9, 0]], np.int64)


@pytest.mark.parametrize(
    ("op_type", "x"),
    [
        *(
            (op_type, X)
            for op_type in ("Abs", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Neg", "Round", "Sin", "Sinh")
        ),
        *(
            (op_type, X)
            for op_type in ("Sign", "Tan", "Tanh", "Atan", "Asinh", "Identity", "IsNaN", "IsInf", "Reciprocal")
        ),
        *((op_type, UNIT) for op_type in ("Acos", "Asin", "Atanh")),
        *((op_type, POSITIVE) for op_type in ("Log", "Sqrt")),
        ("Acosh", POSITIVE + 1),
        ("Not", LEFT),
        ("Neg", WHOLE),
        ("Abs", WHOLE),
        ("Sign", WHOLE),
    ],
)
def test_unary(op_type: str, x: np.ndarray, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [x], opset=20)


@pytest.mark.parametrize("opset", [7, 13, 21])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic(op_type: str, opset: int, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X, Y], opset=opset)
    check_node(tmp_path, op_type, [X, None], {1: np.array(0.3, np.float32)}, opset=opset)
    check_node(tmp_path, op_type, [None, POSITIVE], {0: np.array(0.3, np.float32)}, opset=opset)
    check_node(tmp_path, op_type, [X, None], {1: np.full((1, 1, 1, 1), 0.3, np.float32)}, opset=opset)


def test_division_of_integers_goes_toward_zero(tmp_path: Path) -> None:
    check_node(tmp_path, "Div", [WHOLE, np.array([2, -2, 3], np.int64)])
    check_node(tmp_path, "Div", [WHOLE, None], {1: np.array(-2, np.int64)})


def test_pow(tmp_path: Path) -> None:
    check_node(tmp_path, "Pow", [POSITIVE, Y])
    check_node(tmp_path, "Pow", [X, None], {1: np.array(2, np.float32)})
    check_node(tmp_path, "Pow", [None, X], {0: np.array(2, np.float32)})


@pytest.mark.parametrize("op_type", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparison(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X, Y])
    check_node(tmp_path, op_type, [X, None], {1: np.array(0.1, np.float32)})
    check_node(tmp_path, op_type, [None, X], {0: np.array(0.1, np.float32)})


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
def test_logic(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [LEFT, RIGHT])


@pytest.mark.parametrize("op_type", ["Max", "Min", "Sum", "Mean"])
def test_variadic(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X, Y, POSITIVE])
    check_node(tmp_path, op_type, [X, None], {1: np.array(0.3, np.float32)})


def test_mod(tmp_path: Path) -> None:
    check_node(tmp_path, "Mod", [WHOLE, np.array([3, -3, 4], np.int64)])
    check_node(tmp_path, "Mod", [X, Y], fmod=1)


def test_clip(tmp_path: Path) -> None:
    low, high = np.array(-0.5, np.float32), np.array(0.25, np.float32)
    check_node(tmp_path, "Clip", [X], {1: low, 2: high})
    check_node(tmp_path, "Clip", [X, None], {2: high})
    check_node(tmp_path, "Clip", [X], opset=7, min=-0.5, max=0.25)
    check_node(tmp_path, "Clip", [X], opset=10)


@pytest.mark.parametrize("to", [1, 7, 9])
def test_cast(to: int, tmp_path: Path) -> None:
    check_node(tmp_path, "Cast", [X * 3], to=to)


@pytest.mark.parametrize("to", [10, 11, 16])
def test_casts_to_other_floats_stay_float32(to: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["other"], to=to), helper.make_node("Cast", ["other"], ["y"], to=1)]
    network = check_model(model_of(nodes, {"x": X}, ["y"]), {"x": X}, tmp_path, tolerance=1e-2)
    name = {10: "float16", 11: "float64", 16: "bfloat16"}[to]
    assert network.outputs[0].dtype == "float32"
    assert network.warnings == (f"{name} of the file is computed in float32",)


def test_where(tmp_path: Path) -> None:
    check_node(tmp_path, "Where", [LEFT, X, Y])
    check_node(tmp_path, "Where", [LEFT, X, None], {2: np.array(-1e4, np.float32)})
    check_node(tmp_path, "Where", [LEFT, None, X], {1: np.array([2], np.float32)})


def test_bits(tmp_path: Path) -> None:
    numbers = np.array([5, 9, 255], np.int64)
    for op_type in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        check_node(tmp_path, op_type, [numbers, np.array([3, 1, 15], np.int64)])
    check_node(tmp_path, "BitwiseNot", [numbers])
