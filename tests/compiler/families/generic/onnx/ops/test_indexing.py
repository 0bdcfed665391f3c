from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, ints, random
from voxc.compiler.core.errors import CheckpointError

X = random(3, 4, 5)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "places", [np.array(1), np.array(-1), ints(0, 2), ints(2, 1, 0), ints(2, 0, 2), np.array([[0, -1], [1, 1]])]
)
def test_gather(axis: int, places: np.ndarray, tmp_path: Path) -> None:
    check_node(tmp_path, "Gather", [X], {1: places.astype(np.int64)}, axis=axis)


def test_gather_by_inputs(tmp_path: Path) -> None:
    check_node(tmp_path, "Gather", [None, ints(2, 0, 1)], {0: random(3, 6)})
    check_node(tmp_path, "Gather", [X, np.array([[0, 2], [1, 1]], np.int32)], axis=1)


def test_gather_refuses_places_beyond_the_axis(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a place beyond the 3 elements of axis 0"):
        check_node(tmp_path, "Gather", [X], {1: ints(3)})


def test_gather_elements(tmp_path: Path) -> None:
    places = np.array([[0, 1, 2, 0, 1]], np.int64).reshape(1, 1, 5).repeat(4, 1)
    check_node(tmp_path, "GatherElements", [X, places], axis=0)
    check_node(tmp_path, "GatherElements", [X], {1: places - 1}, axis=0)


def test_gather_nd(tmp_path: Path) -> None:
    check_node(tmp_path, "GatherND", [X], {1: np.array([[0, 1], [2, -1]], np.int64)})


def test_scatter(tmp_path: Path) -> None:
    places = np.array([[[0, 2, 1, 1, 0]]], np.int64)
    check_node(tmp_path, "ScatterElements", [X, places, random(1, 1, 5, seed=1)], axis=1)
    check_node(
        tmp_path, "ScatterElements", [X, None, random(1, 1, 5, seed=1)], {1: places - 2}, axis=1, reduction="add"
    )
    check_node(tmp_path, "ScatterND", [X, None, random(2, 5, seed=1)], {1: np.array([[0, 1], [2, 3]], np.int64)})


def test_one_hot(tmp_path: Path) -> None:
    check_node(tmp_path, "OneHot", [ints(1, 0, 3)], {1: np.array(4, np.int64), 2: np.array([-1, 2], np.float32)})
    check_node(tmp_path, "OneHot", [ints(1, -1)], {1: np.array(4, np.int64), 2: np.array([0, 1], np.float32)}, axis=0)
