from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from voxc.compiler.core.figure import Figure
from voxc.compiler.device.merge import device_run, failures, merged
from voxc.compiler.device.report import AgentReport
from voxc.compiler.manifest import Manifest, TargetRecord, read_manifest


def report(model: str = "", host: str = "board", **component: Any) -> AgentReport:
    machine = {
        "model": model, "cpu": "A", "architecture": "aarch64", "cores": 4, "memory_gib": 8.0, "system": "Linux 6",
        "python": "3.9.2",
    }  # fmt: skip
    found = {
        "load_s": 0.5, "snr_db": 90.0, "max_abs_error": 1e-4, "mean_abs_error": 1e-5, "passed": True,
        "runs": 100, "warm_up": 2,
        "latency_ms": {"median": 30.0, "p90": 33.0, "p99": 40.0, "min": 29.0}, **component,
    }  # fmt: skip
    return AgentReport.model_validate(
        {
            "agent": 1, "host": host, "machine": machine, "runtime": {"onnxruntime": "1.20"}, "peak_memory_mib": 100.0,
            "settings": {"threads": 4}, "conditions": {"governor": "performance"}, "components": {"synthesizer": found},
        }
    )  # fmt: skip


def manifest_for(compiled: Path, **capabilities: Any) -> Manifest:
    """A manifest whose target has these capabilities, and no others."""
    manifest = read_manifest(compiled)
    target = TargetRecord(name="board", backend="onnxruntime", threads=4, capabilities=capabilities)
    return manifest.model_copy(update={"build": manifest.build.model_copy(update={"target": target})})


@pytest.mark.parametrize(
    ("capabilities", "model", "evidence"),
    [
        ({"machine": "Raspberry Pi"}, "Raspberry Pi 4 Model B Rev 1.4", "device"),
        ({"machine": "Raspberry Pi"}, "NVIDIA Jetson Nano", "host"),
        ({"machine": "Mac"}, "", "host"),
        ({"machine": None}, "", "device"),
        ({"any_host": True}, "", "device"),
        ({"any_host": False}, "Raspberry Pi 5", "host"),
        ({}, "", "host"),
    ],
)
def test_evidence_is_the_devices_only_on_such_a_machine(
    compiled: Path, capabilities: dict[str, Any], model: str, evidence: str
) -> None:
    run = device_run(manifest_for(compiled, **capabilities), report(model), "2026-01-01T00:00:00+00:00")
    assert run.evidence == evidence
    assert {figure.evidence for figure in run.components["synthesizer"].figures.values()} == {evidence}


def test_figures_say_how_they_were_obtained(compiled: Path) -> None:
    run = device_run(manifest_for(compiled, machine=None), report("Pi 5"), "now")
    figures = run.components["synthesizer"].figures
    how = "onnxruntime 1.20, threads 4, on board (Pi 5)"
    assert figures["latency_p90"] == Figure(
        value=33.0, unit="ms", evidence="device", how=f"{how}; 100 runs after 2 warm-ups"
    )
    assert figures["real_time_factor"].value == pytest.approx(0.1)  # 30 ms for 30 frames of 100 a second
    assert figures["max_abs_error"].unit == figures["mean_abs_error"].unit == "full scale"
    assert figures["runs_per_second"].value == pytest.approx(1000 / 30.0, rel=1e-5)
    assert run.conditions == {"governor": "performance"}
    assert (run.peak_memory.value, run.peak_memory.unit) == (100.0, "MiB")


def test_placements_and_cost_shares_are_kept(compiled: Path) -> None:
    found = report("Mac14,2", placements={"conv": "ANE", "sin": "CPU"}, cost_shares={"ANE": 0.97, "CPU": 0.03})
    component = device_run(manifest_for(compiled, machine="Mac"), found, "now").components["synthesizer"]
    assert component.placements == {"conv": "ANE", "sin": "CPU"}
    assert (component.figures["cost_on_ane"].value, component.figures["cost_on_ane"].unit) == (97.0, "%")


def test_placements_that_the_os_did_not_tell_have_a_reason(compiled: Path) -> None:
    found = report("Mac14,2", no_placements="macOS is too old")
    figure = (
        device_run(manifest_for(compiled, machine="Mac"), found, "now").components["synthesizer"].figures["cost_on_ane"]
    )
    assert figure.value is None
    assert figure.how.endswith("macOS is too old")


def test_equal_outputs_have_no_ratio(compiled: Path) -> None:
    run = device_run(
        manifest_for(compiled, machine=None), report(snr_db=None, max_abs_error=0.0, mean_abs_error=0.0), "now"
    )
    assert run.components["synthesizer"].figures["snr"].how.endswith("the outputs are equal")


def test_the_latest_run_of_a_host_with_its_settings_stays(compiled: Path) -> None:
    manifest = manifest_for(compiled, machine=None)
    for created, host in (("1", "board"), ("2", "mac"), ("3", "board")):
        manifest = merged(manifest, device_run(manifest, report(host=host), created))
    assert [(run.created, run.host) for run in manifest.measurements.devices] == [("2", "mac"), ("3", "board")]


def without_latency(manifest: Manifest) -> Manifest:
    """As of a target that the compiling machine is not: no times, and a ratio by reference."""
    missing = Figure(value=None, unit="ms", evidence=None, how="not measured")
    snr = Figure(value=50.0, unit="dB", evidence="reference", how="interpreter")
    measured = manifest.measurements.components["synthesizer"].model_copy(
        update={"figures": {"snr": snr, "latency_median": missing}}
    )
    measurements = manifest.measurements.model_copy(update={"components": {"synthesizer": measured}})
    return manifest.model_copy(update={"measurements": measurements})


def test_the_devices_figures_are_the_components_own(compiled: Path) -> None:
    manifest = without_latency(manifest_for(compiled, machine="Pi"))
    figures = (
        merged(manifest, device_run(manifest, report("Pi 5"), "now")).measurements.components["synthesizer"].figures
    )
    assert (figures["latency_median"].value, figures["latency_median"].evidence) == (30.0, "device")
    assert (figures["snr"].value, figures["snr"].evidence) == (90.0, "device")


def test_another_machines_figures_are_not(compiled: Path) -> None:
    manifest = without_latency(manifest_for(compiled, machine="Pi"))
    after = merged(manifest, device_run(manifest, report("Mac14,2"), "now"))
    assert after.measurements.components == manifest.measurements.components
    assert after.measurements.devices[0].components["synthesizer"].figures["latency_median"].evidence == "host"


def test_times_beside_those_of_pytorch_stay_there(compiled: Path) -> None:
    manifest = manifest_for(compiled, machine=None)
    before = manifest.measurements.components["synthesizer"].figures
    after = merged(manifest, device_run(manifest, report(), "now")).measurements.components["synthesizer"].figures
    for name in ("latency_median", "latency_min", "speedup", "real_time_factor"):
        assert after[name] == before[name]
    assert after["snr"].evidence == "device"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"snr_db": 3.25, "passed": False}, "synthesizer: SNR to float32 PyTorch is 3.2 dB, below 60 dB"),
        (
            {"snr_db": None, "max_abs_error": None, "mean_abs_error": None, "passed": False},
            "synthesizer: the output is not finite",
        ),
    ],
)
def test_what_fell_short_is_told(compiled: Path, found: dict[str, Any], message: str) -> None:
    assert failures(read_manifest(compiled), report(**found)) == [message]
    assert failures(read_manifest(compiled), report()) == []
