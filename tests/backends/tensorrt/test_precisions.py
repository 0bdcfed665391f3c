from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxc.backends.tensorrt.precisions import Precisions, precisions_file, read_precisions
from voxc.compiler.core.errors import BundleError

RECIPE = Precisions(
    component="c", tensorrt="8.2.1", opset=13, default="fp16", layers={"a/sin": "fp32", "a/sin_1": "fp16", "b": "int8"}
)


def test_written_and_read(tmp_path: Path) -> None:
    file = precisions_file(tmp_path / "synthesizer.onnx")
    assert file.name == "synthesizer.precisions.json"
    RECIPE.write(file)
    assert read_precisions(file) == RECIPE
    assert RECIPE.uses == {"fp32", "fp16", "int8"}
    assert not RECIPE.tf32


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"component": 1}', b"\xff\xfe", b'{"layers": {"a": "fp8"}}'])
def test_hostile_files_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.precisions.json"
    file.write_bytes(content)
    with pytest.raises(BundleError, match="x.precisions.json: not a recipe of an engine"):
        read_precisions(file)
    with pytest.raises(BundleError, match="missing.json"):
        read_precisions(tmp_path / "missing.json")


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_is_in_a_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("recipe") / "x.json"
    file.write_bytes(content)
    with pytest.raises(BundleError):
        read_precisions(file)
