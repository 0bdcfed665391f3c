"""Which voxc this is."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DESCRIBE = ("describe", "--always", "--dirty", "--exclude=*")  # `1a2b3c4`, or `1a2b3c4-dirty` with changes


def describe_version() -> str:
    """The version, as `0.1.0`; in a checkout with its commit, as `0.1.0 (1a2b3c4)`."""
    commit = commit_of(ROOT)
    return f"{metadata.version('voxc')} ({commit})" if commit else metadata.version("voxc")


def commit_of(folder: Path) -> str:
    """The commit of a checkout; empty if `folder` is not the root of one, or git is missing or refuses to read it."""
    if not (folder / ".git").exists():
        return ""
    try:
        done = subprocess.run(("git", "-C", folder, *DESCRIBE), capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
