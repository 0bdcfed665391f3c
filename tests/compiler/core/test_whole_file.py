from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.whole_file import whole_file


def test_the_last_of_two_writers_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as first, first.open("w") as stream:
        stream.write("one " * 10_000)
        with whole_file(path) as second:
            second.write_text("two")
        assert path.read_text() == "two"
        stream.write("one " * 10_000)
    assert path.read_text() == "one " * 20_000
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    with whole_file(path) as partial:
        partial.write_text("all")
    assert path.read_text() == "all"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ValueError, match="no"), whole_file(path) as partial:
        partial.write_text("half")
        raise ValueError("no")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
