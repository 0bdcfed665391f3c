from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.locks import held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_shared_locks_go_together(path: Path, first: bool, second: bool, both: bool) -> None:
    with held(path, shared=first) as one, held(path, shared=second) as two:
        assert one
        assert two == both
    with held(path, shared=second) as again:
        assert again


def test_the_lock_of_a_file_that_was_replaced_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def replaced_after(self: Path, mode: str) -> object:
        stream = opened(self, mode)
        self.unlink()
        self.touch()
        return stream

    monkeypatch.setattr(Path, "open", replaced_after)
    with held(path) as mine:
        assert not mine


def test_a_file_that_is_absent_has_no_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), held(tmp_path / "absent"):
        pass
