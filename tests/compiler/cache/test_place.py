from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.cache.place import cache_directory


def test_it_is_the_platforms_place_for_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory().name == "voxc"
    assert cache_directory() in {tmp_path / "voxc", Path.home() / "Library" / "Caches" / "voxc"}


def test_the_user_may_choose_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert cache_directory(Path("mine")) == tmp_path / "mine"
    assert cache_directory(Path("~/mine")) == Path.home() / "mine"
