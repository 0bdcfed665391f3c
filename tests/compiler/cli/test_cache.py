from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Voxc
from voxc.compiler.cache.entry import INDEX_NAME
from voxc.compiler.cache.store import Store
from voxc.compiler.core.locks import held


def fill(folder: Path) -> None:
    (folder / "file").write_bytes(bytes(1 << 20))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "cache")
    store.write("exports", "a", fill, label="voice.pth")
    store.write("exports", "b", fill, label="other.pth")
    store.write("plans", "c", fill)
    return store


def test_it_shows_entries_by_kind(voxc: Voxc, store: Store) -> None:
    first, _, exports, plans = voxc("cache", "--cache", store.directory).stdout.splitlines()
    assert first == f"{store.directory}: 3 entries, 3.0 MiB of at most 10.0 GiB"
    assert exports.split()[:3] == ["exports", "2", "2.0"]
    assert exports.rstrip().endswith("other.pth, voice.pth")
    assert plans.split()[:3] == ["plans", "1", "1.0"]


def test_it_shows_one_kind(voxc: Voxc, store: Store) -> None:
    document = json.loads(voxc("cache", "--cache", store.directory, "--kind", "plans", "--json").stdout)
    assert document["limit_bytes"] == 10 << 30
    assert document["bytes"] == 1 << 20
    (entry,) = document["entries"]
    assert (entry["kind"], entry["key"], entry["label"], entry["bytes"]) == ("plans", "c", "", 1 << 20)
    assert {"created", "last_used"} <= entry.keys()


def test_it_clears_a_kind_and_all(voxc: Voxc, store: Store) -> None:
    result = voxc("cache", "--clear", "--kind", "exports", "--cache", store.directory)
    assert result.stdout == f"{store.directory}: removed 2 entries, 2.0 MiB\n"
    assert [entry.kind for entry in store.entries()] == ["plans"]
    document = json.loads(voxc("cache", "--clear", "--cache", store.directory, "--json").stdout)
    assert document == {"directory": str(store.directory), "removed": 1, "bytes": 1 << 20}
    assert voxc("cache", "--clear", "--cache", store.directory).stdout.endswith("removed 0 entries, 0.0 MiB\n")


def test_what_is_in_use_stays_and_is_named(voxc: Voxc, store: Store) -> None:
    with held(store.place("plans", "c") / INDEX_NAME, shared=True):
        result = voxc("cache", "--clear", "--cache", store.directory)
    assert result.exit_code == 2
    assert result.stderr == (f"voxc: error: {store.directory}: removed 2 entries; 1 entry in use or write-protected\n")


def test_the_environment_names_the_place(voxc: Voxc, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXC_CACHE", str(store.directory))
    assert voxc("cache").stdout.startswith(f"{store.directory}: 3 entries")


def test_a_cache_that_is_not_there_is_empty(voxc: Voxc, tmp_path: Path) -> None:
    result = voxc("cache", "--cache", tmp_path / "none")
    assert result.stdout == f"{tmp_path / 'none'}: 0 entries, 0.0 MiB of at most 10.0 GiB\n"
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_cache(voxc: Voxc, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = voxc("cache", "--cache", tmp_path / "file")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line == (
        f"voxc: error: {tmp_path / 'file'}: the cache cannot be read (Not a directory); "
        "choose another place with --cache"
    )
