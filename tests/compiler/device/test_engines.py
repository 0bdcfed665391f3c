"""Engines come back into the bundle, from here and through a real sshd, and only what was told of."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from tests.compiler.device.conftest import edit_manifest, module_that
from tests.compiler.device.kits import NANO, PRECISIONS, inputs_of, layers_of, told
from tests.compiler.device.server import Server
from tests.compiler.device.test_runtimes import compiled_for
from tests.conftest import Voxc
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, DeviceError, OutputError
from voxc.compiler.core.tensor import read_npz
from voxc.compiler.device.engines import Engines, bring_engines, receive, slug
from voxc.compiler.device.report import AgentReport
from voxc.compiler.manifest import MANIFEST_NAME, EngineBuild, read_manifest

Measure = Callable[..., Result]
CONTENT = b"an engine"


@pytest.fixture
def board(hardware: Path, tmp_path: Path) -> Callable[..., Path]:
    """A Python that has a GPU, or so it seems; keywords are its settings."""

    def write(before: str = "", after: str = "", **settings: str) -> Path:
        assigned = " ".join(f"{name}='{value}'" for name, value in settings.items())
        file = tmp_path / "python"
        file.write_text(
            f"#!/bin/sh\n{before}\nexport LD_LIBRARY_PATH={hardware} PYTHONPATH={hardware} {assigned}\n"
            f"export XDG_CACHE_HOME='{tmp_path}/user cache'\n"
            f'{sys.executable} "$@"\ncode=$?\n{after}\nexit $code\n'
        )
        file.chmod(0o755)
        return file

    return write


@pytest.fixture
def measure(voxc: Voxc, server: Server, kit: Path) -> Measure:
    def run(python: Path | str, *options: object) -> Result:
        return voxc("measure", kit, "--on", server.url, "--ssh-config", server.config, "--python", python, "--runs", 1,
                    *options)  # fmt: skip

    return run


def contents(bundle: Path) -> dict[str, bytes]:
    return {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def engine_of(bundle: Path) -> EngineBuild:
    (run,) = read_manifest(bundle).measurements.devices
    engine = run.components["synthesizer"].engine
    assert engine is not None
    return engine


def complaint(result: Result) -> str:
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    return line


@pytest.mark.parametrize("there", [True, False], ids=["ssh", "here"])
def test_the_engine_comes_back(
    measure: Measure, board: Callable[..., Path], kit: Path, server: Server, voxc: Voxc, there: bool
) -> None:
    before = contents(kit)
    result = measure(board()) if there else voxc("measure", kit, "--python", board(), "--runs", 1)
    assert result.exit_code == 0, result.stderr
    engine = engine_of(kit)
    (run,) = read_manifest(kit).measurements.devices
    assert engine.model_dump().items() >= NANO.items()
    assert engine.file.path == f"engines/{slug(run.host)}/synthesizer-{engine.file.sha256[:12]}.engine"
    assert contents(kit).keys() - before.keys() == {engine.file.path}
    assert Bundle.open(kit).complaint(engine.file) is None
    assert run.components["synthesizer"].figures["build_time"].value > 0
    assert "1024 MiB of workspace" in run.components["synthesizer"].figures["build_time"].how
    assert run.runtime.keys() == {"tensorrt", "cuda", "numpy"}
    assert not list(server.temporary.iterdir())


def test_the_next_run_takes_the_engine_along(measure: Measure, board: Callable[..., Path], kit: Path) -> None:
    assert "building the engine" in measure(board()).stderr
    first = engine_of(kit)
    result = measure(board())
    assert result.exit_code == 0, result.stderr
    assert "building the engine" not in result.stderr
    assert "fetching" not in result.stderr
    assert engine_of(kit) == first


def test_another_gpu_builds_its_own_and_the_old_one_goes(
    measure: Measure, board: Callable[..., Path], kit: Path
) -> None:
    """The settings name the GPU: so a host with two has two runs, and each its engine; a newer TensorRT takes the place
    of an older one."""
    measure(board())
    old = engine_of(kit).file.path
    assert measure(board(FAKE_TENSORRT="10.3.0")).exit_code == 0
    new = engine_of(kit)
    assert new.tensorrt == "10.3.0"
    assert not (kit / old).exists()
    assert measure(board(FAKE_TENSORRT="10.3.0", FAKE_GPU="Orin", FAKE_CAPABILITY="8.7")).exit_code == 0
    runs = read_manifest(kit).measurements.devices
    assert [run.settings["gpu"] for run in runs] == ["NVIDIA Tegra X1 (5.3)", "Orin (8.7)"]


def test_a_damaged_engine_is_built_anew(measure: Measure, board: Callable[..., Path], kit: Path) -> None:
    measure(board())
    (kit / engine_of(kit).file.path).write_bytes(b"?")
    assert "building the engine" in measure(board()).stderr
    assert Bundle.open(kit).complaint(engine_of(kit).file) is None


# What stands for the device's Python sees the place of engines as an argument.
PLACE = 'for word in "$@"; do case "$word" in --engines=*) place=${word#--engines=};; esac; done\n'


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ('printf x >> "$place/synthesizer.engine"', "more bytes came, and the agent told of"),
        ('printf x > "$place/synthesizer.engine"', "1 bytes came, and the agent told of"),
        ('rm "$place/synthesizer.engine"', "could not be fetched"),
        ('printf x | dd of="$place/synthesizer.engine" conv=notrunc 2>/dev/null', "came with another SHA-256"),
    ],
)
def test_an_engine_that_is_not_what_the_agent_told_of(
    measure: Measure, board: Callable[..., Path], kit: Path, server: Server, harm: str, words: str
) -> None:
    before = contents(kit)
    result = measure(board(after=PLACE + harm))
    assert result.exit_code == 3
    assert words in complaint(result)
    assert contents(kit) == before
    assert not (kit / "engines").exists()
    assert not list(server.temporary.iterdir())


def test_nothing_comes_back_when_the_results_are_wrong(measure: Measure, board: Callable[..., Path], kit: Path) -> None:
    edit_manifest(kit, lambda document: document["build"]["components"][0].update(min_snr_db=500))
    before = contents(kit)
    assert measure(board()).exit_code == 1
    assert contents(kit) == before


def test_no_engine_stays_when_the_manifest_cannot_be_written(
    voxc: Voxc, board: Callable[..., Path], kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(directory: Path, manifest: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("voxc.compiler.device.measure.write_manifest", full)
    before = contents(kit)
    assert voxc("measure", kit, "--python", board(), "--runs", 1).exit_code != 0
    assert contents(kit) == before
    assert not (kit / "engines").exists()


@pytest.mark.parametrize("missing", ["tensorrt", "GPU"])
def test_a_kit_whose_runtime_is_missing(
    measure: Measure, board: Callable[..., Path], kit: Path, server: Server, tmp_path: Path, missing: str
) -> None:
    before = contents(kit)
    nothing = module_that(tmp_path / "path", "tensorrt", "raise ImportError('none')")
    change, words = {
        "tensorrt": ({"PYTHONPATH": str(nothing)}, "tensorrt cannot be imported by"),
        "GPU": ({"FAKE_GPUS": "0"}, "CUDA finds no GPU"),
    }[missing]
    result = measure(board(**change))
    assert result.exit_code == 3
    assert words in complaint(result)  # which is one line
    assert contents(kit) == before
    assert not list(server.temporary.iterdir())


class Device:
    """Gives what it has, whatever is asked for."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content, self.asked = content, [""][:0]

    def fetch(self, name: str, stream: Any, size: int, tell: Any) -> None:
        self.asked.append(name)
        stream.write(self.content)


def told_of(host: str = "nano", **engine: Any) -> AgentReport:
    machine = {"cpu": "A", "architecture": "aarch64", "cores": 4, "memory_gib": 4.0, "system": "L", "python": "3.6.9"}
    found = {
        "load_s": 1.0, "snr_db": 50.0, "max_abs_error": 0.1, "mean_abs_error": 0.01, "passed": True,
        "runs": 1, "warm_up": 1,
        "latency_ms": {"median": 1.0, "p90": 1.0, "p99": 1.0, "min": 1.0},
        "engine": {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest(), **NANO, **engine},
    }  # fmt: skip
    document = {"agent": 1, "host": host, "machine": machine, "runtime": {}, "settings": {}, "conditions": {},
                "peak_memory_mib": 1.0, "components": {"synthesizer": found}}  # fmt: skip
    return AgentReport.model_validate(document)


def bring(bundle: Path, device: Device, answer: AgentReport) -> Engines:
    return bring_engines(Bundle.open(bundle), answer, device, lambda message: None)


@pytest.mark.parametrize(
    ("host", "folder"), [("nano", "nano"), ("../../etc", "etc"), ("..", "device"), ("a/b c\n", "a-b-c")]
)
def test_the_host_names_a_directory_and_no_other_place(kit: Path, host: str, folder: str) -> None:
    device = Device()
    path = bring(kit, device, told_of(host))["synthesizer"].file.path
    assert path.startswith(f"engines/{folder}/synthesizer-")
    assert (kit / path).read_bytes() == CONTENT
    assert device.asked == ["engines/synthesizer.engine"]


def test_links_lead_nowhere(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (kit / "engines").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match="leads out of the bundle"):
        bring(kit, Device(), told_of())
    assert not list((tmp_path / "outside").iterdir())


def test_an_engine_of_no_reasonable_size_is_not_asked_for(kit: Path) -> None:
    device = Device()
    with pytest.raises(DeviceError, match="the engine of synthesizer is to have 1099511627776 bytes; at most"):
        bring(kit, device, told_of(bytes=1 << 40))
    assert not device.asked


def test_a_bundle_that_cannot_be_written(kit: Path) -> None:
    (kit / "engines").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        bring(kit, Device(), told_of())


def test_receiving_ends_behind_the_size() -> None:
    came = io.BytesIO()
    assert receive(io.BytesIO(b"x" * 100), came, 10, lambda message: None) == 11


def test_the_manifest_is_the_old_one_where_it_was(kit: Path) -> None:
    before = (kit / MANIFEST_NAME).read_bytes()
    bring(kit, Device(), told_of())
    assert (kit / MANIFEST_NAME).read_bytes() == before


def test_kits_of_voxc_itself(
    voxc: Voxc, server: Server, board: Callable[..., Path], voice_file: Path, tmp_path: Path
) -> None:
    """Compiled for the Jetson Nano; measured where TensorRT is missing, and then where something stands for it."""
    place = compiled_for("jetson-nano", voice_file, tmp_path / "nano")
    before = contents(place)
    options = ("--on", server.url, "--ssh-config", server.config, "--runs", 1, "--python")
    nothing = module_that(tmp_path / "path", "tensorrt", "raise ImportError('none')")
    result = voxc("measure", place, *options, board(PYTHONPATH=str(nothing)))
    assert result.exit_code == 3
    assert "tensorrt cannot be imported by" in complaint(result)
    assert contents(place) == before
    result = voxc("measure", place, *options, board())
    assert result.exit_code == 0, result.stderr
    engine = told(place / engine_of(place).file.path)
    assert engine["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    recipe = json.loads((place / PRECISIONS).read_text())
    sines = {node.name for node in layers_of(place) if node.op_type == "Sin"}
    assert sines
    assert sines <= engine["held"].keys()
    assert {recipe["layers"][name] for name in engine["held"]} == {"fp32"}
    assert voxc("verify", place).exit_code == 0


def test_kits_for_segments_of_any_length(
    voxc: Voxc, board: Callable[..., Path], voice_file: Path, tmp_path: Path
) -> None:
    """The engine is for what the recipe says, and the kit runs on other lengths here."""
    place = tmp_path / "nano"
    result = voxc("compile", voice_file, "-t", "jetson-nano", "--frames", 10, "--dynamic", "-o", place)
    assert result.exit_code == 0, result.stderr
    result = voxc("measure", place, "--python", board(), "--runs", 1)
    assert result.exit_code == 0, result.stderr
    engine = told(place / engine_of(place).file.path)
    recipe = json.loads((place / PRECISIONS).read_text())
    assert engine["profiles"]["phone"] == [[1, 2, 768], [1, 10, 768], [1, 10, 768]]
    assert engine["profiles"] == {name: list(each.values()) for name, each in recipe["profiles"].items()}
    sines = {node.name for node in layers_of(place) if node.op_type == "Sin"}
    assert sines
    assert sines <= engine["held"].keys()
    assert voxc("verify", place).exit_code == 0
    np.savez(tmp_path / "in.npz", **inputs_of(place, 7))
    files = ("--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    result = voxc("run", place, "--component", "synthesizer", *files)
    assert result.exit_code == 0, result.stderr
    assert read_npz(tmp_path / "out.npz")["audio"].shape[-1] == 7 * read_manifest(place).build.voice["hop"]
