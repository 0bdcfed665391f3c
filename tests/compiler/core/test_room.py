from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core import room
from voxc.compiler.core.room import has_room


def test_a_place_with_room(tmp_path: Path) -> None:
    assert has_room(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_place_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room.os, "fsync", full)
    assert not has_room(tmp_path)
    assert not has_room(tmp_path / "missing")
