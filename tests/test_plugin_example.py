"""The example of a plug-in: installed elsewhere, and found by its entry point."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from voxc.compiler.manifest import Manifest, read_manifest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "plugin"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed (pip install 'voxc[openvino]')"
)


def install(source: Path, site: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", site, source], check=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the plug-in is installed in."""
    place = tmp_path_factory.mktemp("site")
    source = Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "plugin"))
    install(source, place)
    return place


def voxc(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "voxc.compiler", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def compiled(site: Path, voice: Path, place: Path, *options: object) -> Manifest:
    done = voxc(site, "compile", voice, "-o", place, "--frames", 30, "--threads", 1, *options)
    assert done.returncode == 0, done.stderr
    return read_manifest(place)


def test_its_targets_are_listed(site: Path) -> None:
    assert '"name": "openvino-bf16"' in voxc(site, "targets", "--json").stdout


def test_floats(site: Path, voice_file: Path, tmp_path: Path) -> None:
    manifest = compiled(site, voice_file, tmp_path / "b", "--target", "openvino")
    component = manifest.component("synthesizer")
    assert [file.path for file in component.files] == ["synthesizer.xml", "synthesizer.bin"]
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["snr"].value is not None
    assert figures["snr"].value > 60
    assert "openvino" in figures["latency_median"].how
    files = ("--inputs", tmp_path / "b" / "reference.npz", "--outputs", tmp_path / "o.npz")
    assert voxc(site, "run", tmp_path / "b", "--component", "synthesizer", *files).returncode == 0
    assert voxc(site, "verify", tmp_path / "b").returncode == 0


def test_a_program_gives_the_same_files(site: Path, voice_file: Path, tmp_path: Path) -> None:
    first, second = (
        compiled(site, voice_file, tmp_path / name, "--target", "openvino", "--no-cache") for name in ("a", "b")
    )
    assert first.component("synthesizer").files == second.component("synthesizer").files


def test_integers_by_the_plan(site: Path, voice_file: Path, tmp_path: Path) -> None:
    options = ("--target", "openvino", "--precision", "int8", "--min-snr", 5)
    manifest = compiled(site, voice_file, tmp_path / "b", *options)
    component = manifest.component("synthesizer")
    assert component.precision_histogram["int8"] > 3
    assert component.operators["Conv"]["int8"] > 0
    assert "FakeQuantize" in (tmp_path / "b" / "synthesizer.xml").read_text() or "QuantizeLinear" in str(
        component.operators
    )


def test_options_of_a_target_reach_its_runtime(site: Path, voice_file: Path, tmp_path: Path) -> None:
    manifest = compiled(site, voice_file, tmp_path / "b", "--target", "openvino-bf16")
    assert manifest.build.target.capabilities["options"] == {"inference_precision": "bf16"}
    assert "(bf16)" in manifest.measurements.components["synthesizer"].figures["snr"].how


def test_nothing_is_reported_to_openvino_s_makers(site: Path, voice_file: Path, tmp_path: Path) -> None:
    """Before: `import openvino` sends an event through the package `openvino_telemetry`, if there is one."""
    telemetry, marker = tmp_path / "site", tmp_path / "imported"
    shutil.copytree(site, telemetry)
    (telemetry / "openvino_telemetry.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    compiled(telemetry, voice_file, tmp_path / "b", "--target", "openvino")
    assert voxc(telemetry, "verify", tmp_path / "b").returncode == 0
    assert not marker.exists()


def test_without_the_plug_in_its_bundle_says_what_is_missing(site: Path, voice_file: Path, tmp_path: Path) -> None:
    compiled(site, voice_file, tmp_path / "b", "--target", "openvino")
    done = voxc(tmp_path, "verify", tmp_path / "b")
    assert done.returncode == 2
    assert "no backend is called 'openvino'" in done.stderr
    assert "if a plug-in brings it, install that" in done.stderr


def test_a_target_that_is_there_already(tmp_path: Path) -> None:
    source, place = Path(shutil.copytree(EXAMPLE, tmp_path / "plugin")), tmp_path / "site"
    targets = source / "voxc_openvino" / "targets.yaml"
    targets.write_text(targets.read_text().replace("openvino: &openvino", "jetson-nano: &openvino"))
    install(source, place)
    done = voxc(place, "targets")
    assert done.returncode == 2
    assert "target 'jetson-nano' is also in" in done.stderr


def test_a_plug_in_that_is_broken(tmp_path: Path) -> None:
    source, place = Path(shutil.copytree(EXAMPLE, tmp_path / "plugin")), tmp_path / "site"
    (source / "voxc_openvino" / "backend.py").write_text("import no_such_package\n")
    install(source, place)
    done = voxc(place, "targets")
    assert done.returncode == 3
    assert "voxc-openvino: the entry point openvino = voxc_openvino.backend:OpenVinoBackend" in done.stderr
    assert len(done.stderr.splitlines()) == 1
