from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.compiler.device.kits import NANO
from voxc.backends.tensorrt.device.timings import keep_timings, timings_file, use_timings


def test_a_file_for_each_machine(user_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timings_file(NANO) == user_cache / "voxc" / "8.2.1.8-NVIDIA-Tegra-X1-5.3.timings"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert timings_file(NANO) is None


class Config:
    """A builder's configuration, which takes timings that begin with `ours`."""

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(content=content, serialize=lambda: content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return bool(cache.content.startswith(b"ours") or not cache.content)


@pytest.mark.parametrize(("content", "used"), [(b"ours", b"ours"), (b"others", b""), (None, b"")])
def test_timings_of_others_are_passed_over(tmp_path: Path, content: bytes | None, used: bytes) -> None:
    if content is not None:
        (tmp_path / "timings").write_bytes(content)
    assert use_timings(tmp_path / "timings", Config()).content == used
    assert use_timings(None, Config()).content == b""


def test_timings_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    timings = SimpleNamespace(serialize=lambda: b"ours")
    keep_timings(tmp_path / "new" / "timings", timings)
    assert [file.read_bytes() for file in (tmp_path / "new").iterdir()] == [b"ours"]
    (tmp_path / "taken").mkdir()
    keep_timings(tmp_path / "taken", timings)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "taken"]
    keep_timings(Path("/proc/nowhere/timings"), timings)
    keep_timings(None, timings)
