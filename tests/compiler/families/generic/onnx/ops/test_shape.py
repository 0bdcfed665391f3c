from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.families.generic.onnx.models import check_node, ints, random

X = random(2, 3, 4)
PLANE = random(1, 8, 4, 6)


def test_reshape(tmp_path: Path) -> None:
    check_node(tmp_path, "Reshape", [X], {1: ints(0, -1)})
    check_node(tmp_path, "Reshape", [X], {1: ints(4, 3, 2, 1)}, opset=7)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, 3])
def test_flatten(axis: int, tmp_path: Path) -> None:
    check_node(tmp_path, "Flatten", [X], axis=axis, opset=13)


def test_transpose(tmp_path: Path) -> None:
    check_node(tmp_path, "Transpose", [X])
    check_node(tmp_path, "Transpose", [X], perm=[1, 2, 0])


def test_squeeze_and_unsqueeze(tmp_path: Path) -> None:
    thin = X.reshape(2, 1, 12, 1)
    check_node(tmp_path, "Squeeze", [thin])
    check_node(tmp_path, "Squeeze", [thin], {1: ints(-1)})
    check_node(tmp_path, "Squeeze", [thin], opset=11, axes=[1])
    check_node(tmp_path, "Unsqueeze", [X], {1: ints(0, -1)})
    check_node(tmp_path, "Unsqueeze", [X], opset=11, axes=[1, 3])


def test_concat(tmp_path: Path) -> None:
    check_node(tmp_path, "Concat", [X, random(2, 5, 4)], axis=-2)


def test_split(tmp_path: Path) -> None:
    check_node(tmp_path, "Split", [X], {1: ints(1, 3)}, outputs=2, axis=2)
    check_node(tmp_path, "Split", [X], outputs=2, axis=2, num_outputs=2)
    check_node(tmp_path, "Split", [random(2, 7)], outputs=3, axis=1, num_outputs=3)
    check_node(tmp_path, "Split", [X], outputs=2, axis=1, opset=11, split=[2, 1])
    check_node(tmp_path, "Split", [X], outputs=3, axis=1, opset=7)


@pytest.mark.parametrize(
    ("begins", "ends", "axes", "steps"),
    [
        ([1], [3], [1], None),
        ([-2, 0], [1 << 62, -1], [2, 1], None),
        ([0], [4], [2], [2]),
        ([-1], [-(1 << 62)], [2], [-1]),
        ([3], [0], [2], [-2]),
        ([0, 1], [2, 2], None, None),
    ],
)
def test_slice(begins: Any, ends: Any, axes: Any, steps: Any, tmp_path: Path) -> None:
    bounds = {1: ints(*begins), 2: ints(*ends)}
    if axes:
        bounds[3] = ints(*axes)
    if steps:
        bounds[4] = ints(*steps)
    check_node(tmp_path, "Slice", [X], bounds)
    if steps is None:
        named = {"axes": axes} if axes else {}
        check_node(tmp_path, "Slice", [X], opset=9, starts=begins, ends=ends, **named)


def test_expand_and_tile(tmp_path: Path) -> None:
    check_node(tmp_path, "Expand", [random(2, 1, 4)], {1: ints(5, 1, 3, 1)})
    check_node(tmp_path, "Tile", [random(2, 1, 4)], {1: ints(1, 3, 2)})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad(mode: str, tmp_path: Path) -> None:
    check_node(tmp_path, "Pad", [X], {1: ints(0, 1, 2, 1, 0, 3)}, mode=mode,
               opset=19)  # fmt: skip
    if mode != "wrap":
        check_node(tmp_path, "Pad", [X], opset=10, mode=mode, pads=[0, 1, 2, 1, 0, 3])


def test_pad_may_cut_and_name_axes(tmp_path: Path) -> None:
    seven = np.array(7, np.float32)
    check_node(tmp_path, "Pad", [X], {1: ints(0, -1, 2, 0, 0, -1), 2: seven})
    check_node(tmp_path, "Pad", [X], {1: ints(1, 2), 2: seven, 3: ints(-1)})


def test_blocks(tmp_path: Path) -> None:
    check_node(tmp_path, "DepthToSpace", [PLANE], blocksize=2)
    check_node(tmp_path, "DepthToSpace", [PLANE], blocksize=2, mode="CRD")
    check_node(tmp_path, "SpaceToDepth", [PLANE], blocksize=2)
