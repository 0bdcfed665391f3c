"""`voxc measure` on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.device.conftest import edit_manifest
from tests.conftest import Voxc
from voxc.compiler.core.errors import BundleError, DeviceError, MissingRuntimeError, OutputError, RecipeError
from voxc.compiler.device import measure as measuring
from voxc.compiler.device.measure import MeasureOptions, measure_bundle
from voxc.compiler.manifest import MANIFEST_NAME, read_manifest

QUICK = MeasureOptions(runs=2)


def test_measures_here_and_shows_it(voxc: Voxc, bundle: Path) -> None:
    result = voxc("measure", bundle, "--runs", 3)
    assert result.exit_code == 0, result.stderr
    assert "latency_median" in result.stdout
    assert "this machine: synthesizer: timing" in result.stderr
    (run,) = read_manifest(bundle).measurements.devices
    assert f"{run.host}: synthesizer" in voxc("inspect", bundle).stdout
    assert voxc("verify", bundle).exit_code == 0


def test_leaves_nothing_behind(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))  # of the agent, whose runtime may leave files there
    before = sorted(bundle.rglob("*"))
    measure_bundle(bundle, QUICK)
    assert not list((tmp_path / "tmp").iterdir())
    assert sorted(bundle.rglob("*")) == before


def test_a_file_that_is_not_the_manifests_is_refused(bundle: Path) -> None:
    file = bundle / "synthesizer.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=r"synthesizer\.onnx: its SHA-256 is not the manifest's"):
        measure_bundle(bundle, MeasureOptions(python="not even started"))


def test_a_bundle_that_was_compiled_meanwhile_is_left_alone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = measuring.ask_agent

    def ask_slowly(*arguments: Any) -> Any:
        answer = ask(*arguments)
        edit_manifest(bundle, lambda document: document.update(build_digest="0" * 64))
        return answer

    monkeypatch.setattr(measuring, "ask_agent", ask_slowly)
    with pytest.raises(BundleError, match="was compiled anew while it was measured"):
        measure_bundle(bundle, QUICK)
    assert not read_manifest(bundle).measurements.devices


def test_a_manifest_that_cannot_be_written_stays(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (bundle / MANIFEST_NAME).read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="cannot be written"):
        measure_bundle(bundle, QUICK)
    assert (bundle / MANIFEST_NAME).read_bytes() == before
    assert [path.name for path in bundle.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "--threads 0"),
        ({"runs": 0}, "--runs 0"),
        ({"seconds": -1.0}, "--seconds -1"),
        ({"seconds": float("nan")}, "--seconds nan"),
        ({"limit": 0.0}, "--limit 0"),
        ({"ssh_config": Path("x")}, "--ssh-config"),
        ({"on": "raspberrypi"}, "--on raspberrypi: give ssh://"),
        ({"compute_units": "ALL"}, "this machine: compute units ALL: onnxruntime has no such setting"),
    ],
)
def test_options_that_cannot_be(bundle: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        measure_bundle(bundle, MeasureOptions(**options))


def test_components_are_chosen_by_name(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no component 'vocoder'; it has synthesizer"):
        measure_bundle(bundle, MeasureOptions(components=("vocoder",)))
    assert measure_bundle(bundle, MeasureOptions(components=("synthesizer",), runs=1)).run.components.keys() == {
        "synthesizer"
    }


def test_no_such_python(bundle: Path) -> None:
    with pytest.raises(MissingRuntimeError, match=r"this machine: cannot run python1\.5 .*--python"):
        measure_bundle(bundle, MeasureOptions(python="python1.5"))


def test_ctrl_c_stops_the_agent(bundle: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/fifo; exec sleep 60\n")
    python.chmod(0o755)
    command = [sys.executable, "-m", "voxc.compiler", "measure", str(bundle), "--python", str(python)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        agent = int((tmp_path / "fifo").read_text())
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.endswith("voxc: interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(agent, 0)


def test_json_of_a_failed_comparison_says_that_nothing_was_merged(voxc: Voxc, bundle: Path) -> None:
    edit_manifest(bundle, lambda document: document["build"]["components"][0].update(min_snr_db=500))
    result = voxc("measure", bundle, "--runs", 1, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["merged"] is False
    assert not read_manifest(bundle).measurements.devices


def test_a_time_limit_ends_it(bundle: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"this machine: took longer than 1 s \(--limit\)"):
        measure_bundle(bundle, MeasureOptions(python=str(python), limit=1))
    assert time.monotonic() - started < 30
