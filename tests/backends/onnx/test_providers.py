"""Targets whose execution provider is not here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from voxc.backends import BACKENDS
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.request import Request
from voxc.compiler.verify import verify_bundle

TARGETS = load_targets()


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-directml"])
def test_the_files_are_those_for_the_cpu_and_the_numbers_a_reference(
    name: str, voice_file: Path, compiled: Path, tmp_path: Path
) -> None:
    target = TARGETS[name]
    ((place, manifest),) = compile_model(Request(voice_file, (target,), tmp_path / "b", frames=30, threads=1))
    assert digest(place / "synthesizer.onnx") == digest(compiled / "synthesizer.onnx")
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["snr"].evidence == "reference"
    assert str(target.options["provider"]) in figures["snr"].how
    assert figures["latency_median"].value is None
    assert all(check.passed for check in verify_bundle(place))


def test_a_provider_that_is_here_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    cuda = BACKENDS["onnxruntime"].on(TARGETS["onnxruntime-cuda"].options)
    assert cuda.runtime().evidence == "reference"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert cuda.runtime().evidence == "host"
    assert "(CUDAExecutionProvider)" in cuda.runtime().description
