from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from voxc.compiler.cache import keys
from voxc.compiler.cache.keys import code_digest, digest, file_digest


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Model(BaseModel):
    x: int


class OtherModel(BaseModel):
    x: int


@dataclass(frozen=True)
class Data:
    x: object


@dataclass(frozen=True)
class OtherData:
    x: object


DIFFERENT: list[object] = [
    None, True, 1, 1.5, "1", "a", [], [1], [[1]], [1, 1], {}, {"x": 1}, {"x": "1"}, {1: "x"}, {"mapping": []}, {1, 2},
    b"a", b"b", Color.RED, Color.BLUE, np.array(1), np.array([1]), np.array([1], np.int32), np.array([[1]]),
    np.array([2]), np.float32(1),
    Model(x=1), Model(x=2), OtherModel(x=1), Data(1), Data(2), OtherData(1), Data(Data(1)),
    float("inf"), float("nan"), ["a", "b"], ["ab"],
]  # fmt: skip


def test_different_parts_have_different_digests() -> None:
    assert len({digest(part) for part in DIFFERENT}) == len(DIFFERENT)
    assert digest("a", "b") != digest(["a", "b"]) != digest("ab")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, 3}, frozenset({3, 2, 1})),
        ((1, 2), [1, 2]),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (Data((1, {"x": None})), Data([1, {"x": None}])),
    ],
)
def test_equal_parts_have_equal_digests(one: object, other: object) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize("part", [object(), len, np.array([object()]), Data])
def test_other_things_have_no_digest(part: object) -> None:
    with pytest.raises(TypeError, match="has no digest"):
        digest([part])


def test_it_is_the_same_in_another_process() -> None:
    script = "from voxc.compiler.cache.keys import *; print(digest({'b', 'a', 'c'}, {'x': 1.5}), code_digest())"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [digest({"b", "a", "c"}, {"x": 1.5}), code_digest()]


def test_a_file_stands_for_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("text")
    other.write_text("text")
    assert digest(one) == digest(other)
    other.write_text("next")
    assert digest(one) != digest(other)


def test_a_directory_stands_for_its_files(tmp_path: Path) -> None:
    one = tmp_path / "one"
    (one / "folder").mkdir(parents=True)
    (one / "folder" / "file").write_text("text")
    other = Path(shutil.copytree(one, tmp_path / "other"))
    assert digest(one) == digest(other)
    (other / "folder" / "file").rename(other / "folder" / "name")
    assert digest(one) != digest(other)


def rewrite(path: Path) -> None:
    path.write_text("next")


def replace(path: Path) -> None:
    path.with_name("new").write_text("next")
    path.with_name("new").replace(path)


def rewrite_keeping_mtime(path: Path) -> None:
    before = path.stat()
    path.write_text("next")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [rewrite, replace, rewrite_keeping_mtime])
@pytest.mark.parametrize("settling", [0, keys.SETTLING_NANOSECONDS])
def test_a_file_is_read_again_only_if_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], settling: int
) -> None:
    read: list[Path] = []
    sha256_of_file = keys.sha256_of_file

    def counted(path: Path) -> str:
        read.append(path)
        return sha256_of_file(path)

    monkeypatch.setattr(keys, "sha256_of_file", counted)
    monkeypatch.setattr(keys, "SETTLING_NANOSECONDS", settling)
    path = tmp_path / "file"
    path.write_text("text")
    first = file_digest(path)
    assert file_digest(path) == first
    assert len(read) == (2 if settling else 1)
    if not settling:
        os.utime(path)  # past the tick of the file system's clock
    change(path)
    assert file_digest(path) != first


def test_another_source_is_another_voxc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("backends", "compiler", "passes"):
        (tmp_path / source / "folder").mkdir(parents=True)
        (tmp_path / source / "folder" / "module.py").write_text("x = 1")
    (tmp_path / "targets.yaml").write_text("a: 1")
    monkeypatch.setattr(keys, "ROOT", tmp_path)

    def now() -> str:
        code_digest.cache_clear()
        return code_digest()

    seen = {now()}
    (tmp_path / "passes" / "folder" / "__pycache__").mkdir()
    (tmp_path / "passes" / "folder" / "__pycache__" / "module.pyc").touch()
    assert now() in seen
    for change in ("passes/folder/module.py", "backends/new.py", "targets.yaml"):
        (tmp_path / change).write_text("x = 2")
        assert now() not in seen
        seen.add(now())
    code_digest.cache_clear()
