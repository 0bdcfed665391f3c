"""What `voxc` says of fallbacks: one warning, and what ran."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.compiler.fallback.networks import assert_as_eager
from tests.conftest import Voxc
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.tensor import read_npz

NAMES = ("content", "retrieval", "synthesizer")


@pytest.fixture
def copy(backed_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backed_bundle, tmp_path / "copy"))


def convert(voxc: Voxc, bundle: Path, voice: Path, output: Path, *options: str) -> tuple[str, list[str]]:
    """What it said on stdout, and the lines on stderr."""
    result = voxc("convert", voice / "sample.wav", "--bundle", bundle, "-o", output, "--threads", "1", *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr.splitlines()


def test_convert_without_a_runtime_warns_once_and_sounds_the_same(
    voxc: Voxc, backed_bundle: Path, speaking_voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, quiet = convert(voxc, backed_bundle, speaking_voice, tmp_path / "a.wav")
    assert not quiet
    monkeypatch.setattr(OnnxRuntimeBackend, "run_needs", (Requirement("voxc-no-such-package", "pip install it"),))
    said, errors = convert(voxc, backed_bundle, speaking_voice, tmp_path / "b.wav")
    assert errors == [
        "voxc: warning: PyTorch runs content, retrieval, synthesizer instead: "
        "onnxruntime: to run onnx files, install voxc-no-such-package (pip install it)"
    ]
    assert "by PyTorch: content, retrieval, synthesizer" in said
    (mine, _), (its, _) = (soundfile.read(tmp_path / name) for name in ("a.wav", "b.wav"))
    np.testing.assert_allclose(mine, its, atol=2 / (1 << 15))
    document = json.loads(convert(voxc, backed_bundle, speaking_voice, tmp_path / "c.wav", "--json")[0])
    assert document["runtime"] == f"PyTorch {torch.__version__}"
    assert set(document["fallbacks"]) == set(NAMES)


def test_convert_with_one_artifact_gone(voxc: Voxc, copy: Path, speaking_voice: Path, tmp_path: Path) -> None:
    (copy / "retrieval.onnx").unlink()
    said, errors = convert(voxc, copy, speaking_voice, tmp_path / "a.wav", "--json")
    assert len(errors) == 1
    assert "warning: PyTorch runs retrieval instead" in errors[0]
    document = json.loads(said)
    assert document["runtime"].startswith("onnxruntime")
    assert set(document["fallbacks"]) == {"retrieval"}


def test_run_says_what_ran(voxc: Voxc, copy: Path, tmp_path: Path) -> None:
    (copy / "synthesizer.onnx").write_bytes(b"no artifact")
    arguments = ("--component", "synthesizer", "--inputs", copy / "reference.npz", "--outputs", tmp_path / "out.npz")
    result = voxc("run", copy, *arguments, "--json")
    assert result.exit_code == 0
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("voxc: warning: PyTorch runs synthesizer instead")
    document = json.loads(result.stdout)
    assert document["runtime"] == f"PyTorch {torch.__version__}"
    assert "synthesizer.onnx" in document["fallbacks"]["synthesizer"]
    expected = read_npz(copy / "reference.npz")["synthesizer/audio"]
    assert_as_eager(read_npz(tmp_path / "out.npz")["audio"], expected)
    assert "by PyTorch: synthesizer" in voxc("run", copy, *arguments).stdout


def test_wrong_inputs_are_the_users_and_no_failure(voxc: Voxc, copy: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", audio=np.zeros((1, 3), np.float32))
    arguments = ("--component", "content", "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    result = voxc("run", copy, *arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "error: audio: shape [1, 3]" in result.stderr


def test_verify_fails_and_says_that_the_fallback_runs(voxc: Voxc, copy: Path) -> None:
    (copy / "content.onnx").unlink()
    result = voxc("verify", copy, "--json")
    assert result.exit_code == 1
    checks = {check["what"]: check["passed"] for check in json.loads(result.stdout)["checks"]}
    assert (checks["content rerun"], checks["content fallback"]) == (False, True)
    assert "content.onnx, content rerun" in result.stderr


def test_compile_says_what_the_fallback_takes(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    result = voxc("compile", voice_file, "-t", "onnxruntime-cpu", "-o", place, "--frames", 5, "--with-fallback")
    assert " MB and 0.1 MB for PyTorch, SNR" in result.stdout
    assert "onnx and a fallback" in voxc("inspect", place).stdout
