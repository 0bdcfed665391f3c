from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from voxc.compiler import version
from voxc.compiler.version import commit_of, describe_version

GIT = ("git", "-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit, which has a tag."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    (tmp_path / "file").write_text("before")
    for arguments in (("init", "-q"), ("add", "file"), ("commit", "-qm", "a commit"), ("tag", "v9")):
        subprocess.run((*GIT, *arguments), cwd=tmp_path, check=True)
    return tmp_path


def test_a_checkout_has_a_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "ROOT", checkout)
    command = (*GIT, "rev-parse", "--short", "HEAD")
    commit = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
    assert describe_version() == f"{metadata.version('voxc')} ({commit})"
    (checkout / "file").write_text("after")
    assert describe_version() == f"{metadata.version('voxc')} ({commit}-dirty)"


def test_a_folder_inside_a_checkout_has_none(checkout: Path) -> None:
    """As site-packages of an environment that is inside a checkout of something else."""
    (checkout / "inside").mkdir()
    assert commit_of(checkout / "inside") == ""


def test_a_broken_checkout_has_none(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert commit_of(tmp_path) == ""


def test_without_git_there_is_none(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert commit_of(checkout) == ""
