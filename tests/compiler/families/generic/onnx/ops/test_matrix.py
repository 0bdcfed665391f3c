from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.families.generic.onnx.models import check_node, random


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 3), (3, 4)), ((2, 5, 3), (3, 4)), ((2, 5, 3), (2, 3, 4)), ((2, 1, 5, 3), (4, 3, 6)), ((3,), (3, 2))],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...], tmp_path: Path) -> None:
    check_node(tmp_path, "MatMul", [random(*left), random(*right, seed=1)])
    check_node(tmp_path, "MatMul", [random(*left)], {1: random(*right, seed=1)})


def test_gemm(tmp_path: Path) -> None:
    a, b, c = random(2, 3), random(3, 4, seed=1), random(4, seed=2)
    check_node(tmp_path, "Gemm", [a], {1: b, 2: c})
    check_node(tmp_path, "Gemm", [a], {1: b.T.copy(), 2: c}, transB=1)
    check_node(tmp_path, "Gemm", [a.T.copy()], {1: b.T.copy(), 2: c}, transB=1, transA=1, alpha=0.5, beta=2.0)
    check_node(tmp_path, "Gemm", [a, b], opset=11)
    check_node(tmp_path, "Gemm", [a], {1: b.T.copy(), 2: random(2, 1)}, transB=1)


@pytest.mark.parametrize("equation", ["bhid,bhjd->bhij", "bhid,bhjd", "...id,...jd->...ij"])
def test_einsum(equation: str, tmp_path: Path) -> None:
    check_node(tmp_path, "Einsum", [random(2, 3, 4, 5), random(2, 3, 6, 5, seed=1)], equation=equation)


def test_triangle(tmp_path: Path) -> None:
    check_node(tmp_path, "Trilu", [random(4, 5)], upper=0)
