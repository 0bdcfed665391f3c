"""A voice for the GPU that is here, where ONNX Runtime stands for TensorRT and the CPU for the GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backends.tensorrt.conftest import Gpu
from tests.compiler.device.kits import told
from tests.conftest import Voxc
from voxc.backends.tensorrt import backend
from voxc.compiler.bundle import Bundle
from voxc.compiler.manifest import read_manifest


@pytest.fixture
def host(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """The same for voxc as a whole."""

    def install(version: str) -> None:
        gpu(version)
        monkeypatch.setattr(backend, "installed_version", lambda: version)
        monkeypatch.setattr(backend, "has_tensorrt", lambda: True)

    return install


def test_a_voice_and_its_engines(host: Gpu, voxc: Voxc, speaking_voice: Path, tmp_path: Path) -> None:
    """Compiled, checked and converted by engines, which are for here alone."""
    host("10.3.0")
    place = tmp_path / "bundle"
    result = voxc("compile", speaking_voice, "-t", "tensorrt", "--frames", 50, "--dynamic", "-o", place)
    assert result.exit_code == 0, result.stderr
    manifest = read_manifest(place)
    assert {component.name for component in manifest.build.components} == {"content", "retrieval", "synthesizer"}
    for component in manifest.build.components:
        files = {Path(file.path).suffixes[-1]: file for file in component.files}
        assert files.keys() == {".onnx", ".json", ".engine"}
        assert told(place / files[".engine"].path)["profiles"]
        snr = manifest.measurements.components[component.name].figures["snr"]
        assert snr.evidence == "host"
        assert "TensorRT 10.3.0 on Tester" in snr.how
    assert manifest.measurements.conversion is not None
    assert voxc("verify", place).exit_code == 0
    host("8.6.1")
    assert voxc("verify", place).exit_code == 1
    files = ("--inputs", place / "reference.npz", "--outputs", tmp_path / "out.npz")
    result = voxc("run", place, "--component", "content", *files)
    assert result.exit_code == 2
    assert "built for TensorRT 10.3.0, Tester (8.7); this machine has TensorRT 8.6.1, Tester (8.7)" in result.stderr


def test_nothing_between_the_networks_is_fetched(
    host: Gpu, voxc: Voxc, speaking_voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxc.backends.tensorrt.engine import OnGpu

    host("10.3.0")
    place, fetched = tmp_path / "bundle", list[tuple[int, ...]]()
    options = ("-t", "tensorrt", "--frames", 50, "--no-sample", "-o", place)
    assert voxc("compile", speaking_voice, *options).exit_code == 0
    original = OnGpu.__array__

    def fetch(self: OnGpu, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        fetched.append(tuple(self.tensor.shape))
        return original(self, dtype, copy)

    monkeypatch.setattr(OnGpu, "__array__", fetch)
    result = voxc("convert", "-b", place, speaking_voice / "sample.wav", "-o", tmp_path / "out.wav")
    assert result.exit_code == 0, result.stderr
    hop = Bundle.open(place).manifest.build.voice["hop"]
    assert fetched
    assert set(fetched) == {(1, 1, 50 * hop)}


def test_an_engine_for_another_version_leaves_the_work_to_pytorch(
    host: Gpu, voxc: Voxc, speaking_voice: Path, tmp_path: Path
) -> None:
    host("10.3.0")
    place = tmp_path / "bundle"
    options = ("-t", "tensorrt", "--frames", 50, "--no-sample", "--with-fallback", "-o", place)
    assert voxc("compile", speaking_voice, *options).exit_code == 0
    host("8.6.1")
    result = voxc("convert", "-b", place, speaking_voice / "sample.wav", "-o", tmp_path / "out.wav", "--threads", 1)
    assert result.exit_code == 0, result.stderr
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("voxc: warning: PyTorch runs content, retrieval, synthesizer instead: ")
    assert "built for TensorRT 10.3.0, Tester (8.7); this machine has TensorRT 8.6.1" in warning
    result = voxc("verify", place)
    assert result.exit_code == 1
    assert "failed: content rerun, retrieval rerun, synthesizer rerun" in result.stderr
