from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.backends.mlx.harness import mx
from tests.backends.mlx.layout import reshaped
from tests.passes.harness import Function, program_of
from voxc.backends.mlx import emitter, function_file
from voxc.backends.mlx.function_file import Operation
from voxc.compiler.core.errors import BundleError


def network(x: Tensor) -> Tensor:
    a, b = (x * 2).split([1, 2], 1)
    return b.transpose(1, 2) @ torch.cat([a, a], 1) + 0.5


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    files = emitter.emit(program_of(Function(network), (1, 3, "T")), tmp_path_factory.mktemp("function"))
    return files[0].read_bytes()


def test_what_is_in_a_function(content: bytes) -> None:
    function, same = function_file.read(content)
    assert same == content
    assert function.names == ("x0",)
    assert function.tensors[function.inputs[0]] == function_file.Tensor((1, 3, 12), "float32")
    names = [operation.name for operation in function.operations]
    assert {"Multiply", "Split", "Transpose", "Matmul", "Add"} <= set(names)
    (split,) = (operation for operation in function.operations if operation.name == "Split")
    assert [function.tensors[each].shape for each in split.outputs] == [(1, 1, 12), (1, 2, 12)]
    assert sorted(struct.unpack("<f", each)[0] for each in function.constants.values()) == [0.5, 2.0]


def test_ids_are_numbers_in_order(content: bytes) -> None:
    """Where MLX writes addresses, which another run would not have."""
    function, _ = function_file.read(content)
    assert set(function.tensors) == set(range(1, len(function.tensors) + 1))
    (given,) = function.inputs
    after_names = content.index(b"x0", content.index(b'"y"]}')) + 2
    assert struct.unpack_from("<QQ", content, after_names) == (1, given)


def test_a_function_is_for_a_gpu_until_told_otherwise(content: bytes, tmp_path: Path) -> None:
    """What Linux has traced on its CPU must not stay there on a Mac."""
    on_gpu, on_cpu = (struct.pack("<3i", function_file.STREAM, device, 0) for device in (1, 0))
    assert content.count(on_gpu) == len(function_file.read(content)[0].operations)
    assert on_cpu not in content
    _, moved = function_file.read(content, "cpu")
    assert moved == content.replace(on_gpu, on_cpu)
    place = tmp_path / "cpu.mlxfn"
    place.write_bytes(moved)
    assert mx.import_function(str(place))(x0=mx.ones((1, 3, 12)))[0].shape == (1, 12, 12)


def test_a_file_cut_short_is_an_error(content: bytes) -> None:
    for size in range(len(content)):
        with pytest.raises(BundleError, match="not a function that voxc has exported"):
            function_file.read(content[:size])
    with pytest.raises(BundleError, match="1 bytes behind its end"):
        function_file.read(content + b"\0")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_file_is_an_error_or_another_function(content: bytes, data: Any) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    broken = content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]
    try:
        function, _ = function_file.read(broken)
    except BundleError:
        return
    assert {operation.name for operation in function.operations} <= function_file.PRIMITIVES.keys()


def test_operations_that_could_do_more_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "other.mlxfn"
    mx.export_function(str(place), lambda x: mx.sort(x), x=mx.ones((2, 2)))
    with pytest.raises(BundleError, match="'Sort', which voxc does not emit"):
        function_file.read(place.read_bytes())


def test_free_shapes_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "other.mlxfn"
    mx.export_function(str(place), lambda x: x + 1, x=mx.ones((2, 2)), shapeless=True)
    with pytest.raises(BundleError, match="of free shapes"):
        function_file.read(place.read_bytes())


@pytest.mark.parametrize(
    ("shape", "strides", "result", "wanted"),
    [
        ((2, 3, 4), (12, 4, 1), (6, 4), (4, 1)),
        ((2, 12000), (12100, 1), (2, 100, 120), (12100, 120, 1)),
        ((1, 100, 96), (0, 192, 1), (100, 96), (192, 1)),
        ((3, 2, 4), (4, 12, 1), (3, 8), None),
        ((100, 96), (192, 1), (9600,), None),
        ((4, 1), (1, 4), (2, 2), (2, 1)),
        ((), (), (1, 1), (1, 1)),
    ],
)
def test_reshapes_of_what_lies_in_memory(shape: Any, strides: Any, result: Any, wanted: Any) -> None:
    """Strides of the result where it is a view, none where it has to be copied."""
    assert reshaped(Operation("Reshape", (result,), (1,), (2,)), shape, strides, result) == wanted
