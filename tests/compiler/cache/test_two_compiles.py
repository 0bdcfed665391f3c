from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from voxc.compiler.manifest import read_manifest


def test_two_compiles_of_one_model_at_once(voice_file: Path, tmp_path: Path) -> None:
    """They share a cache and a place: both end well, and leave one whole bundle, a sound cache and nothing else."""
    place, cache = tmp_path / "out" / "bundle", tmp_path / "cache"
    options = ["--target", "onnxruntime-cpu", "--precision", "int8", "--min-snr", "1", "--frames", "20", "--no-measure"]
    command = [sys.executable, "-m", "voxc", "compile", voice_file, *options, "-o", place, "--cache", cache]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for each in both:
        _, errors = each.communicate()
        assert each.returncode == 0, errors
    assert [path.name for path in place.parent.iterdir()] == ["bundle"]
    digest = read_manifest(place).build_digest
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "warning" not in again.stderr
    assert read_manifest(place).build_digest == digest
    verified = subprocess.run([sys.executable, "-m", "voxc", "verify", place], capture_output=True, check=False)
    assert verified.returncode == 0
