"""Asks an agent that is alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxc.backends import BACKENDS
from voxc.compiler.device.pack import NAME, pack


@dataclass(frozen=True)
class Answer:
    code: int
    document: dict[str, Any]
    stderr: str


def ask(tmp_path: Path, *arguments: object, path: Path | None = None) -> Answer:
    """The agent for all backends, where nothing of voxc is, in a process of its own.

    `path` goes before installed packages.
    """
    alone = tmp_path / "alone"
    alone.mkdir(exist_ok=True)
    (alone / NAME).write_bytes(pack(list(BACKENDS.values())))
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    command = [sys.executable, alone / NAME, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=alone, env=environment, check=False)
    return Answer(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)
