"""Files from strangers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.compiler.families.generic.onnx.models import check_model, model_of, random
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.onnx import file, read_onnx

X = random(1, 8)


def with_external_data(directory: Path, **entries: str) -> Path:
    """y = x @ w, with w [8, 2] in weights.bin, as the entries say."""
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": X}, ["y"], {"w": random(8, 2, seed=1)})
    tensor = model.graph.initializer[0]
    (directory / "weights.bin").write_bytes(b"\0" * 16 + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin", "offset": "16", "length": "64"} | entries).items():
        tensor.external_data.add(key=key, value=value)
    path = directory / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data(tmp_path: Path) -> None:
    network = read_onnx(with_external_data(tmp_path))
    np.testing.assert_array_equal(network.module.get_parameter("w").numpy(), random(8, 2, seed=1))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../weights.bin"}, "not in the directory of the model"),
        ({"location": "/etc/passwd"}, "not in the directory of the model"),
        ({"location": ""}, "not in the directory of the model"),
        ({"location": "a/../weights.bin"}, "not in the directory of the model"),
        ({"location": "missing.bin"}, "No such file"),
        ({"location": "."}, "not a regular file|Is a directory"),
        ({"offset": "17"}, "wants 64 bytes"),
        ({"offset": "-16"}, "wants 64 bytes"),
        ({"length": "63"}, "wants 64 bytes"),
        ({"offset": "many"}, "is not a number"),
    ],
)
def test_external_data_elsewhere(entries: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(CheckpointError, match=f"tensor w: .*({message})"):
        read_onnx(with_external_data(tmp_path / "in", **entries))


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")
def test_external_data_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = with_external_data(tmp_path / "in")
    (tmp_path / "in" / "weights.bin").rename(tmp_path / "weights.bin")
    (tmp_path / "in" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(CheckpointError, match="not in the directory of the model"):
        read_onnx(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08", b"\x3a\xff\xff\xff\xff\x0f", b"\x08\x07"])
def test_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.onnx: (is empty|damaged|not an ONNX file)"):
        read_onnx(tmp_path / "model.onnx")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_onnx(tmp_path / "none.onnx")


def test_many_small_fields_are_not_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_FIELDS", 1000)
    nodes = b"\x0a\x00" * 1001  # empty nodes of the graph
    graph = b"\x3a" + bytes([len(nodes) & 0x7F | 0x80, len(nodes) >> 7]) + nodes
    (tmp_path / "model.onnx").write_bytes(graph)
    with pytest.raises(CheckpointError, match="has more than 1000 fields"):
        read_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("dims", "data_type", "message"),
    [
        ([1 << 40], TensorProto.FLOAT, "has 64 values or bytes, its shape"),
        ([-1, 2], TensorProto.FLOAT, "has shape"),
        ([7, 2], TensorProto.FLOAT, "asks for 56"),
        ([8, 2], TensorProto.DOUBLE, "asks for 128"),
        ([8, 2], TensorProto.STRING, "type STRING are not supported"),
        ([8, 2], 77, "type 77 are not supported"),
    ],
)
def test_tensors_that_claim_what_is_not_there(dims: list[int], data_type: int, message: str, tmp_path: Path) -> None:
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": X}, ["y"], {"w": random(8, 2)})
    tensor = model.graph.initializer[0]
    tensor.data_type = data_type
    tensor.ClearField("dims")
    tensor.dims.extend(dims)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=f"tensor w: .*{message}"):
        read_onnx(tmp_path / "model.onnx")


def test_not_numbers(tmp_path: Path) -> None:
    weights = random(8, 2)
    weights[0, 0] = np.nan
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": X}, ["y"], {"w": weights})
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="tensor w: has values that are not numbers"):
        read_onnx(tmp_path / "model.onnx")


def test_numbers_in_fields_of_their_own(tmp_path: Path) -> None:
    """Weights as lists of floats, and of bits in place of them."""
    weights = [
        helper.make_tensor("a", TensorProto.FLOAT, [8], [0.5] * 8),
        helper.make_tensor("b", TensorProto.FLOAT16, [8], np.arange(8, dtype=np.float16)),
        helper.make_tensor("c", TensorProto.BOOL, [8], [True, False] * 4),
    ]
    nodes = [
        helper.make_node("Cast", ["b"], ["floats"], to=1),
        helper.make_node("Where", ["c", "x", "a"], ["chosen"]),
        helper.make_node("Add", ["chosen", "floats"], ["y"]),
    ]
    model = model_of(nodes, {"x": X}, ["y"])
    model.graph.initializer.extend(weights)
    check_model(onnx.shape_inference.infer_shapes(model), {"x": X}, tmp_path)
