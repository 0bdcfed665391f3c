from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, random

X = random(2, 6, 5, 3)
SCALE, BIAS = random(6, seed=1), random(6, seed=2)


@pytest.mark.parametrize("opset", [9, 14, 18])
def test_batch_norm(opset: int, tmp_path: Path) -> None:
    statistics = {1: SCALE, 2: BIAS, 3: random(6, seed=3), 4: np.abs(random(6, seed=4)) + 0.1}
    check_node(tmp_path, "BatchNormalization", [X], statistics, opset=opset, epsilon=1e-3)


def test_instance_norm(tmp_path: Path) -> None:
    check_node(tmp_path, "InstanceNormalization", [X], {1: SCALE, 2: BIAS}, epsilon=1e-3)


def test_group_norm(tmp_path: Path) -> None:
    check_node(tmp_path, "GroupNormalization", [X], {1: SCALE, 2: BIAS}, opset=21, num_groups=3)
    check_node(tmp_path, "GroupNormalization", [X], {1: SCALE[:3], 2: BIAS[:3]}, opset=18, num_groups=3)


def test_layer_norm(tmp_path: Path) -> None:
    check_node(tmp_path, "LayerNormalization", [X], {1: random(3, seed=1), 2: random(3, seed=2)})
    check_node(tmp_path, "LayerNormalization", [X], {1: random(5, 3, seed=1)}, axis=2, epsilon=1e-3)


def test_other_norms(tmp_path: Path) -> None:
    check_node(tmp_path, "LpNormalization", [X], axis=1)
    check_node(tmp_path, "LpNormalization", [X], axis=1, p=1)
    check_node(tmp_path, "MeanVarianceNormalization", [X])
    check_node(tmp_path, "RMSNormalization", [X], {1: random(3, seed=1)}, opset=23)


def test_drop_out_is_nothing(tmp_path: Path) -> None:
    check_node(tmp_path, "Dropout", [X], opset=7)
    check_node(tmp_path, "Dropout", [X], {1: np.array(0.5, np.float32)})
