from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voxc.compiler.cache import store as store_module
from voxc.compiler.cache.entry import FILES_NAME, INDEX_NAME, DamagedEntry
from voxc.compiler.cache.store import PARTIAL_PREFIX, Store

Save = Callable[[Path], None]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "cache", warn=warnings.append)


def saving(text: str) -> Save:
    return lambda folder: folder.joinpath("text").write_text(text) and None


def load(folder: Path) -> str:
    return (folder / "text").read_text()


def set_used(store: Store, key: str, seconds: float) -> None:
    os.utime(store.place("kind", key) / INDEX_NAME, (seconds, seconds))


def keys(store: Store) -> list[str]:
    return [entry.key for entry in store.entries()]


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read("kind", "key", load) is None
    store.write("kind", "key", saving("text"), label="a text")
    assert store.read("kind", "key", load) == "text"
    assert store.read("kind", "other", load) is None
    assert store.read("other", "key", load) is None
    (entry,) = store.entries()
    assert (entry.kind, entry.key, entry.bytes, entry.label) == ("kind", "key", 4, "a text")
    assert [path.name for path in store.directory.iterdir()] == ["kind"]


def test_an_entry_may_have_folders(store: Store) -> None:
    def save(folder: Path) -> None:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "c").write_bytes(b"12345")

    store.write("kind", "key", save)
    assert store.read("kind", "key", lambda folder: (folder / "a" / "b" / "c").read_bytes()) == b"12345"
    assert store.entries()[0].bytes == 5


def test_get_makes_once(store: Store) -> None:
    made: list[str] = []

    def get() -> str:
        def make() -> str:
            made.append("text")
            return "text"

        return store.get("kind", "key", make, lambda text, folder: saving(text)(folder), load)

    assert get() == get() == "text"
    assert made == ["text"]


def test_an_entry_that_is_there_stays(store: Store) -> None:
    store.write("kind", "key", saving("first"))
    store.write("kind", "key", saving("second"))
    assert store.read("kind", "key", load) == "first"


def test_another_writer_may_be_faster(store: Store, warnings: list[str]) -> None:
    def save(folder: Path) -> None:
        Store(store.directory).write("kind", "key", saving("faster"))
        saving("slower")(folder)

    store.write("kind", "key", save)
    assert store.read("kind", "key", load) == "faster"
    assert not warnings
    assert store.writable


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    def save(folder: Path) -> None:
        saving("half")(folder)
        raise error

    with pytest.raises(error):
        store.write("kind", "key", save)
    assert not list(store.directory.iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".voxc-partial-x", "a\n"])
def test_names_stay_inside(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a kind or a key"):
        store.read(name, "key", load)
    with pytest.raises(ValueError, match="cannot be a kind or a key"):
        store.write("kind", name, saving("text"))


def flip(place: Path) -> None:
    path = place / FILES_NAME / "text"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "shorter": lambda place: (place / FILES_NAME / "text").write_text("tex"),
    "missing": lambda place: (place / FILES_NAME / "text").unlink(),
    "no index": lambda place: (place / INDEX_NAME).write_text("{"),
    "index gone": lambda place: (place / INDEX_NAME).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_absent_and_makes_room(
    store: Store, warnings: list[str], damage: Callable[[Path], object]
) -> None:
    store.write("kind", "key", saving("text"))
    damage(store.place("kind", "key"))
    read: list[str] = []
    assert store.read("kind", "key", lambda folder: read.append(load(folder))) is None
    assert not read
    (warning,) = warnings
    assert f"{store.place('kind', 'key')}: the cache entry is damaged" in warning
    assert not store.place("kind", "key").exists()
    store.write("kind", "key", saving("again"))
    assert store.read("kind", "key", load) == "again"


def test_a_damaged_entry_is_replaced_unread(store: Store) -> None:
    store.write("kind", "key", saving("text"))
    (store.place("kind", "key") / INDEX_NAME).unlink()
    store.write("kind", "key", saving("again"))
    assert store.read("kind", "key", load) == "again"


@pytest.mark.parametrize("error", [DamagedEntry, OSError, ValueError])
def test_what_cannot_be_loaded_is_damaged(store: Store, warnings: list[str], error: type[Exception]) -> None:
    def refuse(folder: Path) -> str:
        raise error("no")

    store.write("kind", "key", saving("text"))
    assert store.read("kind", "key", refuse) is None
    assert len(warnings) == 1
    assert not store.entries()


def test_least_recently_used_goes_first(store: Store) -> None:
    store.limit_bytes = 12
    for number, key in enumerate("abc"):
        store.write("kind", key, saving("text"))
        set_used(store, key, number)
    assert keys(store) == ["a", "b", "c"]
    assert store.read("kind", "a", load) == "text"
    store.write("kind", "d", saving("text"))
    assert keys(store) == ["a", "c", "d"]
    store.write("other", "e", saving("12345678"))
    assert keys(store) == ["d", "e"]


def test_what_appears_while_one_looks_is_not_removed(store: Store, warnings: list[str]) -> None:
    other = Store(store.directory)
    place = store.place("kind", "key")
    assert not store.remove(place)
    other.write("kind", "key", saving("text"))
    assert not store.remove(place, bare=True)
    assert store.read("kind", "key", load) == "text"
    assert not warnings


def test_an_entry_that_is_replaced_before_it_is_opened_stays(
    store: Store, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("kind", "key", saving("text"))
    there = store_module.held

    @contextmanager
    def replaced_meanwhile(path: Path, *, shared: bool = False) -> Iterator[bool]:
        monkeypatch.setattr(store_module, "held", there)
        assert store.remove(path.parent)
        try:
            with there(path, shared=shared) as mine:
                yield mine
        finally:
            store.write("kind", "key", saving("new"))

    monkeypatch.setattr(store_module, "held", replaced_meanwhile)
    assert store.read("kind", "key", load) is None
    assert not warnings
    assert store.read("kind", "key", load) == "new"


def test_what_is_read_is_not_removed(store: Store) -> None:
    store.limit_bytes = 8
    for number, key in enumerate("ab"):
        store.write("kind", key, saving("text"))
        set_used(store, key, number)

    def load_slowly(folder: Path) -> str:
        other = Store(store.directory, limit_bytes=8)
        other.write("kind", "c", saving("text"))
        assert other.clear() == 1
        return load(folder)

    assert store.read("kind", "a", load_slowly) == "text"
    assert keys(store) == ["a"]


def test_an_entry_beyond_the_limit_is_not_kept(store: Store, warnings: list[str]) -> None:
    store.limit_bytes = 8
    store.write("kind", "small", saving("text"))
    store.write("kind", "large", saving("123456789"), label="large.pth")
    assert keys(store) == ["small"]
    assert warnings == ["large.pth: 9 bytes are more than the cache may take"]


def test_the_limit_is_that_of_all_stores_together(store: Store) -> None:
    """Entries are counted anew now and then, and not at every write."""
    store.limit_bytes = 1000
    stores = [store, Store(store.directory, 1000), Store(store.directory, 1000)]
    for number in range(150):
        stores[number % 3].write("kind", f"{number:03}", saving("0123456789"))
        assert len(keys(store)) <= 100
    assert len(keys(store)) >= 90


def test_clear(store: Store) -> None:
    for kind in ("a", "b"):
        for key in "12":
            store.write(kind, key, saving("text"))
    (store.place("b", "1") / INDEX_NAME).write_text("damaged")
    assert store.clear(["a"]) == 2
    assert {entry.kind for entry in store.entries()} == {"b"}
    assert store.clear() == 2
    assert not list(store.places())
    assert store.clear() == 0


def test_a_place_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file" / "cache", warn=warnings.append)
    for key in "ab":
        assert store.get("kind", key, lambda: "text", lambda text, folder: saving(text)(folder), load) == "text"
    (warning,) = warnings
    assert warning == f"{store.directory}: the cache cannot be written (Not a directory); going on without it"
    assert store.entries() == []
    assert store.clear() == 0


def test_a_full_disk_is_told_once(store: Store, warnings: list[str]) -> None:
    def save(folder: Path) -> None:
        saving("half")(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    store.write("kind", "a", save)
    store.write("kind", "b", save)
    assert len(warnings) == 1
    assert not list(store.directory.iterdir())


def test_a_read_only_cache_is_read(store: Store, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    store.write("kind", "key", saving("text"))
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    again = Store(store.directory, warn=warnings.append)
    assert again.read("kind", "key", load) == "text"
    again.write("kind", "other", saving("text"))
    assert again.clear() == 0
    assert len(warnings) == 1


def work(directory: Path, seed: int, done: multiprocessing.Queue[list[str]]) -> None:
    """Reads and writes a few keys for a while; puts what was wrong."""
    wrong: list[str] = []
    chance = random.Random(seed)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        store = Store(directory, limit_bytes=3 << 14, warn=wrong.append)
        key = chance.choice("abcdef")
        text = store.read("kind", key, load)
        if text is None:
            store.write("kind", key, saving(key * (1 << 14)))
        elif text != key * (1 << 14):
            wrong.append(f"{key} holds {text[:10]}")
        if chance.random() < 0.05:
            store.clear()
    done.put(wrong)


def test_processes_share_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    done: multiprocessing.Queue[list[str]] = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path, seed, done)) for seed in range(6)]
    for worker in workers:
        worker.start()
    wrong = [message for _ in workers for message in done.get(timeout=60)]
    for worker in workers:
        worker.join()
    assert not wrong
    store = Store(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(PARTIAL_PREFIX)]
    assert len(list(store.places())) == len(store.entries())


KILLED = """
import sys
from pathlib import Path
from voxc.compiler.cache.store import Store
store = Store(Path(sys.argv[1]), limit_bytes=1 << 20)
def save(folder):
    for name in "abc":
        (folder / name).write_bytes(name.encode() * (1 << 16))
print("ready", flush=True)
for number in range(100000):
    store.write("kind", str(number), save)
"""


def test_a_killed_process_leaves_whole_entries(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        store = Store(tmp_path, warn=pytest.fail)
        assert all(path.name == "kind" for path in tmp_path.iterdir())
        assert len(list(store.places())) == len(store.entries())
        for entry in store.entries():
            assert store.read("kind", entry.key, lambda folder: (folder / "c").read_bytes()[:1]) == b"c"
