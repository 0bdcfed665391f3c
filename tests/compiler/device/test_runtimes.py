"""MLX and TFLite bundles through the agent: here, and behind ssh."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest

from tests.compiler.device.server import Server
from tests.conftest import Voxc
from voxc.compiler.manifest import read_manifest

needs_mlx = pytest.mark.skipif(util.find_spec("mlx") is None, reason="mlx is not installed (pip install 'mlx[cpu]')")
needs_tflite = pytest.mark.skipif(util.find_spec("ai_edge_litert") is None, reason="ai-edge-litert is not installed")


def compiled_for(name: str, voice: Path, place: Path) -> Path:
    from voxc.compiler.core.target import load_targets
    from voxc.compiler.driver import compile_model
    from voxc.compiler.request import Request

    compile_model(Request(voice, (load_targets()[name],), place, frames=10))
    return place


@needs_tflite
def test_measures_a_tflite_bundle(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    bundle = compiled_for("tflite-float32", voice_file, tmp_path / "voice")
    result = voxc("measure", bundle, "--runs", 2, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    (run,) = read_manifest(bundle).measurements.devices
    assert run.runtime.keys() == {"ai_edge_litert", "numpy"}
    assert run.settings == {"threads": 1}
    assert run.components["synthesizer"].figures["snr"].value > 100


@needs_mlx
def test_measures_an_mlx_bundle_behind_ssh(voxc: Voxc, server: Server, voice_file: Path, tmp_path: Path) -> None:
    """The machine is no Mac: its figures are evidence of the host, and none of the device."""
    bundle = compiled_for("apple-mlx", voice_file, tmp_path / "voice")
    before = read_manifest(bundle).measurements.components
    result = voxc("measure", bundle, "--on", server.url, "--ssh-config", server.config, "--python", sys.executable,
                  "--runs", 2)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    measurements = read_manifest(bundle).measurements
    (run,) = measurements.devices
    assert run.runtime.keys() == {"mlx", "numpy"}
    assert run.settings["device"] in ("cpu", "gpu")
    figures = run.components["synthesizer"].figures
    assert figures["snr"].value > 35
    if "Mac" not in run.machine.model:
        assert {figure.evidence for figure in figures.values()} == {"host"}
        assert measurements.components == before
    assert not list(server.temporary.iterdir())
