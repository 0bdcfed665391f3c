from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, ints, random

X = random(1, 2, 5, 6)
NOTHING = np.zeros(0, np.float32)
MODES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


@pytest.mark.parametrize("coordinates", MODES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scale", [2.0, 0.6, 1.7])
def test_scales(mode: str, coordinates: str, scale: float, tmp_path: Path) -> None:
    scales = np.array([1, 1, scale, scale], np.float32)
    check_node(tmp_path, "Resize", [X], {1: NOTHING, 2: scales}, mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest(rounding: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"nearest_mode": rounding, "coordinate_transformation_mode": "half_pixel"}
    check_node(tmp_path, "Resize", [X, None, None], {3: ints(1, 2, 8, 3)}, **options)


def test_older_forms(tmp_path: Path) -> None:
    scales = np.array([1, 1, 2, 3], np.float32)
    check_node(tmp_path, "Resize", [X], {1: scales}, opset=10, mode="nearest")
    check_node(tmp_path, "Upsample", [X], {1: scales}, opset=9, mode="nearest")
    check_node(tmp_path, "Upsample", [X], opset=7, mode="nearest", scales=scales.tolist())


def test_repetition_is_no_product(tmp_path: Path) -> None:
    """Nearest neighbours at a whole scale are copies."""
    line = random(1, 2, 50)
    network = check_node(
        tmp_path, "Resize", [line], {1: NOTHING, 2: np.array([1, 1, 4], np.float32)}, mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    assert not list(network.module.parameters())
