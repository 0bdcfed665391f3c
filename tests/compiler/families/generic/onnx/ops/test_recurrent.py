from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, random
from voxc.compiler.core.errors import CheckpointError

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
TIME, BATCH, WIDTH, HIDDEN = 5, 2, 3, 4


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_layer(kind: str, direction: str, linear_before_reset: int, tmp_path: Path) -> None:
    if linear_before_reset and kind != "GRU":
        pytest.skip("an attribute of GRU alone")
    ways, rows = 2 if direction == "bidirectional" else 1, GATES[kind] * HIDDEN
    weights = {1: random(ways, rows, WIDTH, seed=1), 2: random(ways, rows, HIDDEN, seed=2)}
    states = [random(ways, BATCH, HIDDEN, seed=4), random(ways, BATCH, HIDDEN, seed=5)][: 2 if kind == "LSTM" else 1]
    options: dict[str, Any] = {"hidden_size": HIDDEN, "direction": direction, "outputs": 1 + len(states)}
    if linear_before_reset:
        options["linear_before_reset"] = 1
    x = random(TIME, BATCH, WIDTH)
    check_node(tmp_path, kind, [x], weights, **options)
    check_node(
        tmp_path, kind, [x, None, None, None, None, *states], weights | {3: random(ways, 2 * rows, seed=3)}, **options
    )


def test_other_activations(tmp_path: Path) -> None:
    weights = {1: random(1, 4, 3, seed=1), 2: random(1, 4, 4, seed=2)}
    check_node(tmp_path, "RNN", [random(3, 2, 3)], weights, hidden_size=4, activations=["Relu"])
    with pytest.raises(CheckpointError, match="activations Softplus"):
        check_node(tmp_path, "RNN", [random(3, 2, 3)], weights, hidden_size=4, activations=["Softplus"])


def test_lengths(tmp_path: Path) -> None:
    weights = {1: random(1, 4, 3, seed=1), 2: random(1, 4, 4, seed=2)}
    full = {4: np.array([3, 3], np.int32)}
    check_node(tmp_path, "RNN", [random(3, 2, 3)], weights | full, hidden_size=4)
    with pytest.raises(CheckpointError, match="shorter than the segment"):
        check_node(tmp_path, "RNN", [random(3, 2, 3)], weights | {4: np.array([3, 2], np.int32)}, hidden_size=4)


def test_too_many_steps(tmp_path: Path) -> None:
    weights = {1: random(1, 4, 1, seed=1), 2: random(1, 4, 4, seed=2)}
    with pytest.raises(CheckpointError, match="5000 steps in time"):
        check_node(tmp_path, "RNN", [random(5000, 1, 1)], weights, hidden_size=4)
