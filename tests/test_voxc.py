"""What `import voxc` gives: the interface for programs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxc
from voxc.compiler.runtime import voice

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "demo" / "voice" / "sample.flac"


def test_names() -> None:
    assert (voxc.Voice, voxc.Converted) == (voice.Voice, voice.Converted)
    with pytest.raises(AttributeError, match="'voxc' has no attribute 'nothing'"):
        voxc.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_it_takes_no_time() -> None:
    heavy = "import sys, voxc; print({'numpy', 'pydantic', 'typer', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("arguments", [("voxc", "-V"), ("voxc.compiler", "--version")])
def test_it_is_a_program(arguments: tuple[str, str]) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=True)
    assert re.match(r"voxc \d", done.stdout)


def test_the_example_of_the_readme(speaking: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    samples, rate = soundfile.read(SAMPLE)
    soundfile.write(tmp_path / "speech.flac", samples[:rate], rate)
    (tmp_path / "demo-onnxruntime-cpu").symlink_to(speaking)
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, check=True)
    converted, rate = soundfile.read(tmp_path / "converted.wav")
    assert len(converted) == rate
    assert np.abs(converted).max() > 0
