from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VOXC = (sys.executable, "-m", "voxc")
FULL = Path("/dev/full")


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = command.replace("voxc", " ".join(VOXC), 1)
    return subprocess.run(
        ["bash", "-c", line], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_stdout_is_one_line() -> None:
    done = run("voxc targets >/dev/full")
    assert done.returncode == 2
    assert done.stderr == "voxc: error: standard output: No space left on device\n"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_stderr_stops_nothing(compiled: Path) -> None:
    done = run(f"voxc verify {compiled} 2>/dev/full")
    assert done.returncode == 0
    assert "ok" in done.stdout


@pytest.mark.parametrize("closed", ["2>&-", "<&-"])
def test_closed_streams_stop_nothing(compiled: Path, closed: str) -> None:
    done = run(f"voxc verify {compiled} {closed}")
    assert done.returncode == 0
    assert "ok" in done.stdout


def test_a_closed_stdout_is_no_traceback(compiled: Path) -> None:
    done = run(f"voxc verify {compiled} >&-")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = run("voxc targets | head -1; exit ${PIPESTATUS[0]}")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_letters_without_an_encoding_are_escaped(voice_file: Path, tmp_path: Path) -> None:
    voice = tmp_path / "\u6b4c.pth"
    voice.write_bytes(voice_file.read_bytes())
    done = run(f"voxc inspect {voice}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert r"\u6b4c.pth" in done.stdout.replace("\n", "")  # the title may wrap


def test_errors_neither_style_nor_control_the_terminal(tmp_path: Path) -> None:
    done = run(f"voxc inspect {tmp_path}/$'\\e[31mred\\e[0m.pth'")
    assert done.returncode == 2
    assert r"\x1b[31mred" in done.stderr
    assert "\x1b" not in done.stderr
