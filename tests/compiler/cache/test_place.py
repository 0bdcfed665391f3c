from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.cache.place import cache_directory
from voxc.compiler.cli.compile import store_at
from voxc.compiler.core.errors import InputError


def test_it_is_the_platforms_place_for_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory().name == "voxc"
    assert cache_directory() in {tmp_path / "voxc", Path.home() / "Library" / "Caches" / "voxc"}


def test_the_user_may_choose_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert cache_directory(Path("mine")) == tmp_path / "mine"
    assert cache_directory(Path("~/mine")) == Path.home() / "mine"


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Has no cache: `voxc cache` says so, and `voxc compile` goes on."""

    def homeless(name: str, appauthor: bool) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_path", homeless)
    with pytest.raises(InputError, match="no home directory; name one with --cache"):
        cache_directory()
    assert store_at(None) is None
    assert capsys.readouterr().err.count("going on without it") == 1
    assert store_at(Path("/chosen")) is not None
