from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, ints, random

X = np.abs(random(2, 3, 4)) + 0.1


@pytest.mark.parametrize(
    "op_type",
    [f"Reduce{name}" for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")],
)
def test_reduction(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X], {1: ints(-1)}, keepdims=0)
    check_node(tmp_path, op_type, [X])
    check_node(tmp_path, op_type, [X], noop_with_empty_axes=1) if op_type in ("ReduceSum", "ReduceMax") else None
    check_node(tmp_path, op_type, [X], opset=11, axes=[0, 2])


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_places(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X], axis=1)
    tied = np.array([[1, 2, 2], [3, 3, 1]], np.float32)
    check_node(tmp_path, op_type, [tied], axis=-1, keepdims=0)
    check_node(tmp_path, op_type, [tied], axis=-1, select_last_index=1)


def test_cumulative_sum(tmp_path: Path) -> None:
    for exclusive in (0, 1):
        for reverse in (0, 1):
            check_node(tmp_path, "CumSum", [X], {1: np.array(1, np.int64)}, exclusive=exclusive, reverse=reverse)
    check_node(tmp_path, "CumSum", [np.arange(6, dtype=np.int32).reshape(2, 3)], {1: np.array(-1, np.int64)})


def test_top_k(tmp_path: Path) -> None:
    check_node(tmp_path, "TopK", [X], {1: ints(2)}, outputs=2, axis=1)
    check_node(tmp_path, "TopK", [X], {1: ints(2)}, outputs=2, largest=0)
