"""Whatever happens to the bytes of a file, voxc answers with its own error, or reads it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Once
from tests.mutated import KINDS, MOST_BYTES, TARGET_OF
from tests.voices import write_voice
from voxc.backends import known_targets
from voxc.compiler.core.errors import MissingRuntimeError
from voxc.compiler.driver import compile_model
from voxc.compiler.request import Request


@pytest.fixture(scope="module")
def bundles(once: Once) -> Path:
    """A bundle for each of the targets that can be compiled for here, by its name."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name in sorted(set(TARGET_OF.values())):
            request = Request(
                write_voice(folder / "tiny.pth"), (known_targets()[name],), folder / name, frames=20, measure=False
            )
            try:
                compile_model(request)
            except MissingRuntimeError:
                continue

    return once("mutated", make)


def check(kinds: list[str], count: int, folder: Path, bundles: Path) -> None:
    own = folder / "bundles"
    shutil.copytree(bundles, own)
    made = [kind for kind in kinds if kind not in TARGET_OF or (own / TARGET_OF[kind]).is_dir()]
    command = [sys.executable, "-m", "tests.mutated", str(count), folder, own, *made]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["kind"] for result in results] == made
    for result in results:
        assert not result["foreign"], result
        assert not result["opened"], result
        assert result["grown"] < MOST_BYTES, result
        if result["kind"] in TARGET_OF:  # has another digest then, unless a mutation changes nothing
            assert result["refused"] >= count - 2, result


def test_some_mutated_files_of_each_kind(tmp_path: Path, compiled: Path) -> None:
    shutil.copytree(compiled, tmp_path / "made" / "onnxruntime-cpu")
    check(list(KINDS), 20, tmp_path, tmp_path / "made")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files(kind: str, tmp_path: Path, bundles: Path) -> None:
    check([kind], 1000, tmp_path, bundles)
