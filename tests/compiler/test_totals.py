from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.figure import Evidence, Figure
from voxc.compiler.manifest import ComponentMeasurements, Manifest, read_manifest
from voxc.compiler.totals import gated_figures, totals


def of(value: float | None, evidence: Evidence = "host", unit: str = "ms") -> Figure:
    return Figure(value=value, unit=unit, evidence=None if value is None else evidence, how="no such device here")


def with_components(manifest: Manifest, **components: dict[str, Figure]) -> Manifest:
    measured = {name: ComponentMeasurements(figures=figures, passes={}) for name, figures in components.items()}
    return manifest.model_copy(
        update={"measurements": manifest.measurements.model_copy(update={"components": measured})}
    )


def test_one_component_has_its_own_figures(compiled: Path) -> None:
    manifest = read_manifest(compiled)
    figures = manifest.measurements.components["synthesizer"].figures
    whole = totals(manifest)
    assert whole["speedup"] == figures["speedup"]
    assert whole["latency_ms"].value == figures["latency_median"].value
    assert whole["runs_per_second"].value == figures["runs_per_second"].value
    size = sum(file.stat().st_size for file in compiled.glob("synthesizer.*"))
    assert whole["size_mib"].value == pytest.approx(size / 2**20, rel=1e-5)
    assert "voxc measure" in whole["memory_mib"].how
    assert gated_figures(manifest) == {"bundle": whole}


def test_times_of_components_add_up(compiled: Path) -> None:
    manifest = with_components(
        read_manifest(compiled),
        content={"latency_median": of(30.0), "eager_latency_median": of(90.0)},
        synthesizer={"latency_median": of(10.0), "eager_latency_median": of(30.0)},
    )
    whole = totals(manifest)
    assert (whole["latency_ms"].value, whole["latency_ms"].how) == (40.0, "content 30 + synthesizer 10 ms")
    assert whole["runs_per_second"].value == 25.0
    assert whole["speedup"].value == 3.0


def test_estimates_stand_in_and_say_so(compiled: Path) -> None:
    manifest = with_components(
        read_manifest(compiled),
        content={"latency_median": of(None), "latency_estimate": of(4.0, "estimate")},
        synthesizer={"latency_median": of(None), "latency_estimate": of(6.0, "estimate")},
    )
    whole = totals(manifest)
    assert (whole["latency_ms"].value, whole["latency_ms"].evidence) == (10.0, "estimate")
    assert (whole["runs_per_second"].value, whole["runs_per_second"].evidence) == (100.0, "estimate")
    assert whole["speedup"].value is None
    assert whole["speedup"].how == "no such device here"


def test_a_sum_is_worth_its_weakest_part(compiled: Path) -> None:
    manifest = with_components(
        read_manifest(compiled),
        content={"latency_median": of(4.0, "device")},
        synthesizer={"latency_median": of(6.0, "host")},
    )
    assert totals(manifest)["latency_ms"].evidence == "host"
    assert totals(manifest)["speedup"].how == "not in the manifest"
