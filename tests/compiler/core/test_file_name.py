from __future__ import annotations

import os
from pathlib import Path

import pytest

from voxc.compiler.core.file_name import file_name, is_utf8, readable_name


@pytest.mark.parametrize(
    ("stem", "name"),
    [("anna", "anna-x"), ("anna.v1", "anna.v1-x"), ("", "voice-x"), (".", "voice-x"), ("-rf", "rf-x"),
     ("歌 1", "歌 1-x"), ("a\x1b[2J\n", "a_[2J_-x"), (os.fsdecode(b"b\xe9te"), "b_te-x")],
)  # fmt: skip
def test_names_can_be_used(stem: str, name: str) -> None:
    assert file_name(stem, "-x") == name


def test_long_names_are_cut_and_stay_apart(tmp_path: Path) -> None:
    titles = ["あ" * 85 + part for part in "12"]
    names = {file_name(title, ".voice") for title in titles}
    assert len(names) == 2
    for name in names:
        assert 250 <= len(name.encode()) <= 255
        (tmp_path / name).touch()
    assert file_name("a" * 249, ".voice") == "a" * 249 + ".voice"


def test_names_of_other_bytes() -> None:
    odd = Path(os.fsdecode(b"b\xe9te")) / "a"
    assert not is_utf8(odd)
    assert readable_name(odd.parent) == "b\ufffdte"
    assert is_utf8(Path("あ"))
