from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from voxc.compiler.core.archive import names_in, start_of


def write(path: Path, **records: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"top/{name}", content)
    return path


def test_the_start_of_a_record(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", data="x" * 100, version="3")
    assert start_of(path, "/data", 10) == b"x" * 10
    assert start_of(path, "/other") == b""
    assert names_in(path) == ["top/data", "top/version"]


def test_the_start_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x80\x02abc")
    assert start_of(tmp_path / "a", "/data", 3) == b"\x80\x02a"
    assert start_of(tmp_path / "nosuch", "/data") == b""


@pytest.mark.parametrize("size", [30, 60, 100])
def test_a_damaged_archive_has_no_start(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.pth", data="x" * 100)
    path.write_bytes(path.read_bytes()[:size] + b"\xff" * 8 + path.read_bytes()[size + 8 :])
    assert isinstance(start_of(path, "/data"), bytes)
