from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.staging import PARTIAL_PREFIX
from voxc.compiler.core.whole_file import whole_file


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    """The last one to end has written it."""
    path = tmp_path / "a.txt"
    with whole_file(path) as one:
        with whole_file(path) as other:
            one.write_text("one" * 1000)
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one" * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_ones_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f"{PARTIAL_PREFIX}xyz"
    left.mkdir()
    (left / ".lock").touch()
    (left / "new.txt").touch()
    with whole_file(tmp_path / "a.txt") as partial:
        partial.touch()
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_names_as_long_as_they_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("\u3042" * 83 + ".wav")  # 253 bytes
    with whole_file(path) as partial:
        partial.write_text("x")
    assert path.read_text() == "x"
