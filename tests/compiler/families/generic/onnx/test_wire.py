from __future__ import annotations

import onnx
import pytest
from onnx import helper

from voxc.compiler.families.generic.onnx.wire import count_fields


def test_fields_of_inner_messages_count() -> None:
    model = onnx.ModelProto(graph=helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g", [], []))
    # graph; node, name; two inputs, an output, the operator.
    assert count_fields(memoryview(model.SerializeToString()), onnx.ModelProto.DESCRIPTOR, 100) == 1 + 2 + 4


def test_counting_stops() -> None:
    assert count_fields(memoryview(b"\x0a\x00" * 50), onnx.GraphProto.DESCRIPTOR, 10) == 11


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05", b"\xff" * 11, b"\x0b"])
def test_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        count_fields(memoryview(data), onnx.GraphProto.DESCRIPTOR, 10)
