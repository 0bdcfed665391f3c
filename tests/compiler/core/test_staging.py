from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from voxc.compiler.core import staging
from voxc.compiler.core.locks import held
from voxc.compiler.core.staging import LOCK_NAME, remove_abandoned, workplace


def test_a_workplace_vanishes_with_its_block(tmp_path: Path) -> None:
    with workplace(tmp_path, "mark-") as place:
        (place / "folder").mkdir()
        (place / "folder" / "file").touch()
        (place / "link").symlink_to(tmp_path)
        (place / "kept").touch()
        (place / "kept").rename(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_only_abandoned_ones_are_removed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "mark-unlocked").mkdir()  # killed before it could make its lock
    (tmp_path / "mark-dead").mkdir()
    (tmp_path / "mark-dead" / LOCK_NAME).touch()
    (tmp_path / "mark-dead" / "file").touch()
    with workplace(tmp_path, "mark-") as place:
        remove_abandoned(tmp_path, "mark-")
        assert {path.name for path in tmp_path.iterdir()} == {"other", place.name}


def test_a_workplace_that_was_removed_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = staging.lock
    seen: list[Path] = []

    def swept_before(stream: object, path: Path) -> bool:
        seen.append(path.parent)
        if len(seen) == 1:
            remove_abandoned(tmp_path, "mark-")
        return lock(stream, path)  # type: ignore[arg-type]

    monkeypatch.setattr(staging, "lock", swept_before)
    with workplace(tmp_path, "mark-") as place:
        assert place == seen[1]
        assert not seen[0].exists()


def work(folder: Path, lost: multiprocessing.Queue[int]) -> None:
    """Makes workplaces, and removes what is abandoned; puts how many of its own another process has removed."""
    count = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        remove_abandoned(folder, "mark-")
        with workplace(folder, "mark-") as place:
            (place / "file").touch()
            remove_abandoned(folder, "mark-")
            count += not (place / "file").exists()
    lost.put(count)


def test_processes_leave_each_others_alone(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    lost: multiprocessing.Queue[int] = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path, lost)) for _ in range(6)]
    for worker in workers:
        worker.start()
    assert [lost.get(timeout=60) for _ in workers] == [0] * 6
    for worker in workers:
        worker.join()
    assert not list(tmp_path.iterdir())


def test_the_lock_is_held_throughout(tmp_path: Path) -> None:
    with workplace(tmp_path, "mark-") as place, held(place / LOCK_NAME) as mine:
        assert not mine
