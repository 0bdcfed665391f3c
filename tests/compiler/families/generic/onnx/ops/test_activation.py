from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, random

X = random(2, 3, 4) * 4


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Relu", {}),
        ("Sigmoid", {}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("Mish", {}),
        ("HardSwish", {}),
        ("LeakyRelu", {"alpha": 0.2}),
        ("LeakyRelu", {}),
        ("Elu", {"alpha": 0.7}),
        ("Celu", {"alpha": 0.7}),
        ("Selu", {}),
        ("HardSigmoid", {"alpha": 0.3}),
        ("ThresholdedRelu", {"alpha": 0.7}),
        ("Shrink", {"lambd": 0.7, "bias": 0.2}),
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Softmax", {}),
        ("Softmax", {"axis": 1}),
        ("LogSoftmax", {"axis": 0}),
    ],
)
def test_activation(op_type: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X], opset=20, **attributes)


def test_large_numbers_do_not_overflow(tmp_path: Path) -> None:
    far = np.array([-200, -50, 50, 200], np.float32)
    for op_type in ("Softplus", "Elu", "Selu", "Mish"):
        check_node(tmp_path, op_type, [far], opset=20)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
def test_softmax_was_over_all_further_axes(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [X], opset=11)
    check_node(tmp_path, op_type, [X], opset=11, axis=2)


def test_p_relu(tmp_path: Path) -> None:
    check_node(tmp_path, "PRelu", [X], {1: random(3, 1, seed=1)})
