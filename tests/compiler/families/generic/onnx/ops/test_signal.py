from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.compiler.families.generic.onnx.models import check_model, check_node, model_of, random


@pytest.mark.parametrize("onesided", [0, 1])
def test_stft(onesided: int, tmp_path: Path) -> None:
    step, length = np.array(8, np.int64), np.array(16, np.int64)
    window = np.hanning(16).astype(np.float32)
    check_node(tmp_path, "STFT", [random(2, 64, 1)], {1: step, 2: window, 3: length}, onesided=onesided)
    check_node(tmp_path, "STFT", [random(2, 64, 1), None, None], {1: step, 3: length}, onesided=onesided)


@pytest.mark.parametrize("inverse", [0, 1])
def test_dft(inverse: int, tmp_path: Path) -> None:
    check_node(tmp_path, "DFT", [random(2, 10, 2)], inverse=inverse, axis=1)
    check_node(tmp_path, "DFT", [random(2, 10, 1)], onesided=1, axis=1)


@pytest.mark.parametrize("op_type", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_window(op_type: str, periodic: int, tmp_path: Path) -> None:
    x = random(10)
    nodes = [
        helper.make_node(op_type, ["n"], ["w"], periodic=periodic),
        helper.make_node("Mul", ["x", "w"], ["y"]),
    ]
    check_model(model_of(nodes, {"x": x}, ["y"], {"n": np.array(10, np.int64)}), {"x": x}, tmp_path)
