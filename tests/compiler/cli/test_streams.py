"""Standard streams that are full, closed, or lack a letter; in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
TARGETS = (sys.executable, "-m", "voxc.compiler", "targets")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = " ".join(TARGETS)
    return subprocess.run(
        ["bash", "-c", line.replace("TARGETS", command)], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("options", ["", "--json", "--help"])
def test_a_full_standard_output_is_one_line(options: str) -> None:
    done = shell(f"TARGETS {options} >/dev/full")
    assert done.returncode == 2
    assert done.stderr == "voxc: error: standard output cannot be written (No space left on device)\n"


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
def test_an_error_keeps_its_exit_code() -> None:
    assert shell("TARGETS nonsense 2>/dev/full >/dev/full").returncode == 2


def test_a_reader_that_has_gone_had_enough() -> None:
    done = shell("TARGETS | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "what it is" in done.stdout


def test_closed_streams_are_none_of_the_works_business(tmp_path: Path) -> None:
    """The file that is opened next does not take the place of a closed stream."""
    script = (
        "import sys; from voxc.compiler.cli.streams import Streams; streams = Streams();"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); print('out'); print('err', file=sys.stderr);"
        "print('mine', file=file); sys.exit(streams.exit_code(0))"
    )
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "{script}" <&- >&- 2>&-'], check=False)
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "mine\n"


def test_letters_that_an_encoding_lacks_are_escaped() -> None:
    script = "from voxc.compiler.cli.streams import Streams; Streams(); print('\\u6b4c \\udce9')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert done.stdout == b"\\u6b4c \\udce9\n"
