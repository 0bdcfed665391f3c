from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Evidence, Figure
from voxc.compiler.diff.figures import RULES, Tolerance, figure_changes, judged, parse_tolerances
from voxc.compiler.manifest import Manifest, read_manifest


def of(value: float | None, unit: str, evidence: Evidence = "host", how: str = "test") -> Figure:
    return Figure(value=value, unit=unit, evidence=None if value is None else evidence, how=how)


@pytest.mark.parametrize(
    ("part", "name", "unit", "old", "new", "verdict"),
    [
        ("fidelity", "snr", "dB", 30.0, 29.6, "same"),
        ("fidelity", "snr", "dB", 30.0, 29.4, "worse"),
        ("fidelity", "snr", "dB", 30.0, 30.6, "better"),
        ("synthesizer", "snr", "dB", 30.0, 29.0, "worse"),
        ("bundle", "size_mib", "MiB", 100.0, 100.9, "same"),
        ("bundle", "size_mib", "MiB", 100.0, 101.1, "worse"),
        ("bundle", "latency_ms", "ms", 10.0, 10.9, "same"),
        ("bundle", "latency_ms", "ms", 10.0, 11.1, "worse"),
        ("bundle", "speedup", "x", 2.0, 1.7, "worse"),
        ("bundle", "memory_mib", "MiB", 100.0, 80.0, "better"),
        ("task", "secs", "cosine", 0.9, 0.87, "worse"),
        ("task", "f0_rmse", "Hz", 10.0, 13.0, "worse"),
        ("fidelity", "snr", "dB", 30.0, None, "lost"),
        ("fidelity", "snr", "dB", None, 30.0, "new"),
        ("fidelity", "snr", "dB", None, None, "unjudged"),
        ("task", "secs_source", "cosine", 0.9, 0.1, "unjudged"),
        ("synthesizer", "latency_median", "ms", 1.0, 9.0, "unjudged"),
        ("compile", "seconds", "s", 1.0, 9.0, "unjudged"),
    ],
)
def test_verdicts(part: str, name: str, unit: str, old: float | None, new: float | None, verdict: str) -> None:
    assert judged(part, name, of(old, unit), of(new, unit), {}, "")[0] == verdict


def test_numbers_of_other_worth_are_not_compared() -> None:
    estimate = of(1.0, "ms", "estimate")
    assert judged("bundle", "latency_ms", of(9.0, "ms"), estimate, {}, "") == ("incomparable", "host and estimate")
    assert judged("bundle", "latency_ms", of(1.0, "ms"), of(9.0, "ms"), {}, "2 and 4 threads")[0] == "incomparable"
    assert judged("bundle", "speedup", of(9.0, "x"), of(1.0, "x"), {}, "2 and 4 threads")[0] == "worse"


def test_equal_outputs_are_no_loss() -> None:
    equal = of(None, "dB", how="host against float32 PyTorch: the outputs are equal")
    assert judged("synthesizer", "snr", of(120.0, "dB"), equal, {}, "")[0] == "better"


def test_tolerances_are_the_users(compiled: Path) -> None:
    tolerances = parse_tolerances(["latency_ms=30%", " snr = 1 ", "speedup=inf"])
    assert tolerances["latency_ms"] == Tolerance(30, percent=True)
    assert judged("bundle", "latency_ms", of(10.0, "ms"), of(12.9, "ms"), tolerances, "")[0] == "same"
    assert judged("fidelity", "snr", of(30.0, "dB"), of(29.1, "dB"), tolerances, "")[0] == "same"
    assert judged("bundle", "speedup", of(30.0, "x"), of(0.1, "x"), tolerances, "")[0] == "same"


@pytest.mark.parametrize(
    ("text", "message"),
    [("snr", "write it as"), ("snr=1.2.3", "write it as"), ("latency=5%", f"no figure 'latency'.*{', '.join(RULES)}")],
)
def test_what_is_no_tolerance(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_tolerances([text])


def measured_on(manifest: Manifest, **machine: Any) -> Manifest:
    measured = manifest.measurements
    return manifest.model_copy(
        update={"measurements": measured.model_copy(update={"machine": measured.machine.model_copy(update=machine)})}
    )


def test_times_of_another_machine_are_not_compared_and_ratios_are(compiled: Path) -> None:
    manifest = read_manifest(compiled)
    changes = {
        (each.part, each.name): each for each in figure_changes(manifest, measured_on(manifest, cpu="Other"), {})
    }
    latency = changes["bundle", "latency_ms"]
    assert latency.verdict == "incomparable"
    assert latency.note.endswith("and on Other")
    assert changes["bundle", "speedup"].verdict == "same"
    assert changes["bundle", "size_mib"].change == 1.0
    assert changes["synthesizer", "snr"].change == 0.0
