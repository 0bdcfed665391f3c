from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.compiler.families.generic.onnx.models import check_node, random
from voxc.compiler.core.errors import CheckpointError

LINE, PLANE, SPACE = random(1, 4, 11), random(1, 4, 9, 8), random(1, 4, 5, 6, 7)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 1], "strides": [2], "dilations": [2]},
        {"pads": [2, 0]},
        {"auto_pad": "SAME_UPPER", "strides": [2]},
        {"auto_pad": "SAME_LOWER", "strides": [2]},
        {"auto_pad": "VALID"},
    ],
)
def test_conv_1d(attributes: dict[str, Any], tmp_path: Path) -> None:
    check_node(tmp_path, "Conv", [LINE], {1: random(6, 4, 3, seed=1), 2: random(6, seed=2)}, **attributes)
    check_node(tmp_path, "Conv", [LINE], {1: random(6, 2, 4, seed=1)}, group=2, **attributes)


def test_conv_2d_and_3d(tmp_path: Path) -> None:
    kernel = random(6, 4, 3, 2, seed=1)
    check_node(tmp_path, "Conv", [PLANE], {1: kernel, 2: random(6, seed=2)}, pads=[1, 0, 1, 0], dilations=[2, 1])
    check_node(tmp_path, "Conv", [PLANE], {1: kernel}, pads=[1, 1, 0, 0], strides=[2, 2])
    check_node(tmp_path, "Conv", [SPACE], {1: random(2, 4, 3, 3, 3, seed=1)}, pads=[1, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [3], "pads": [1, 1]},
        {"strides": [3], "pads": [1, 2], "output_padding": [1]},
        {"strides": [2], "auto_pad": "SAME_UPPER"},
        {"strides": [2], "auto_pad": "SAME_LOWER"},
        {"strides": [3], "output_shape": [33]},
        {"strides": [2], "dilations": [2], "pads": [3, 0]},
    ],
)
def test_transposed(attributes: dict[str, Any], tmp_path: Path) -> None:
    check_node(tmp_path, "ConvTranspose", [LINE], {1: random(4, 2, 5, seed=1), 2: random(2, seed=2)}, **attributes)
    check_node(tmp_path, "ConvTranspose", [LINE], {1: random(4, 2, 5, seed=1)}, group=2, **attributes)


def test_transposed_2d(tmp_path: Path) -> None:
    kernel = random(4, 3, 3, 4, seed=1)
    check_node(tmp_path, "ConvTranspose", [PLANE], {1: kernel}, strides=[2, 2], pads=[1, 1, 0, 1])


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [3, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "pads": [1, 0, 0, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ],
)
def test_pool(op_type: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [PLANE], **attributes)


def test_pool_along_one_axis(tmp_path: Path) -> None:
    check_node(tmp_path, "MaxPool", [LINE], kernel_shape=[3], strides=[2])
    check_node(tmp_path, "MaxPool", [LINE], kernel_shape=[3], dilations=[2])
    check_node(tmp_path, "AveragePool", [LINE], kernel_shape=[3], pads=[1, 1], count_include_pad=1)


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pool(op_type: str, tmp_path: Path) -> None:
    check_node(tmp_path, op_type, [PLANE])


def test_what_does_not_fit_names_the_node(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model.onnx: node the/node: Conv \(opset 18\): .*does not have|kernel"):
        check_node(tmp_path, "Conv", [PLANE], {1: random(6, 4, 3)})
