from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core import room as module
from voxc.compiler.core.errors import BundleError, OutputError, RecipeError
from voxc.compiler.core.room import room

NAME = Path("bundle")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "refusal_of", lambda directory: OSError(28, "No space left on device"))


@pytest.mark.parametrize("error", [RuntimeError("the SDK's own words"), ValueError("cut"), BundleError("half a file")])
def test_what_an_sdk_makes_of_a_full_disk(tmp_path: Path, full: None, error: Exception) -> None:
    with (
        pytest.raises(OutputError, match=r"bundle: cannot be written \(No space left on device\)"),
        room(tmp_path, NAME),
    ):
        raise error


def test_other_reasons_stay(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"), room(tmp_path, NAME):
        raise RuntimeError("a bug")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="Input/output error"), room(tmp_path, NAME):
        raise OSError(5, "Input/output error")


def test_what_is_wrong_with_a_request_is_said_on_a_full_disk_too(tmp_path: Path, full: None) -> None:
    with pytest.raises(RecipeError, match="no such precision"), room(tmp_path, NAME):
        raise RecipeError("no such precision")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_directory_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed by what is tested
    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **options: full)
    refusal = module.refusal_of(tmp_path)
    assert refusal is not None
    assert refusal.strerror == "No space left on device"
