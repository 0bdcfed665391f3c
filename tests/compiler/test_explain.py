from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Voxc
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, UnsupportedError
from voxc.compiler.core.runner import Placement
from voxc.compiler.core.target import load_targets
from voxc.compiler.explain import PREDICTION, Explanation, explain_bundle, explain_component, generations, shares
from voxc.compiler.explain_report import PREDICTED, document, report
from voxc.compiler.manifest import DeviceComponent, DeviceRun

PLACES = (
    Placement("a", "conv", "ANE", "", "", 300, "", {"new": "ANE", "old": "CPU"}),
    Placement("b", "conv", "CPU", "too wide", "cut it", 100, "axis", {"new": "CPU", "old": "CPU"}),
    Placement("c", "relu", "ANE", "", "", 0, "", {"new": "ANE", "old": "ANE"}),
)


@pytest.fixture(scope="module")
def apple(voice_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("coremltools", reason="coremltools is not installed")
    from voxc.compiler.driver import compile_model
    from voxc.compiler.request import Request

    place = tmp_path_factory.mktemp("apple") / "tiny"
    compile_model(Request(voice_file, (load_targets()["apple-ane"],), place, frames=20))
    return place


def test_shares() -> None:
    assert shares(PLACES, lambda each: each.where) == {"ANE": (2, 300), "CPU": (1, 100)}
    assert generations(PLACES)["old"] == {"CPU": (2, 400), "ANE": (1, 0)}


def test_a_voice(apple: Path) -> None:
    (explanation,) = explain_bundle(apple)
    assert (explanation.component, explanation.basis) == ("synthesizer", PREDICTION)
    found = {(each.op, each.where) for each in explanation.placements}
    assert {("einsum", "ANE"), ("layer_norm", "ANE"), ("sin", "CPU"), ("gather", "CPU")} <= found
    assert all(bool(each.why) == bool(each.fix) == (each.where != "ANE") for each in explanation.placements)


def test_the_command(apple: Path, voxc: Voxc) -> None:
    (explanation,) = explain_bundle(apple)
    full, brief = voxc("explain", apple).stdout, voxc("explain", apple, "--brief").stdout
    assert PREDICTED in full
    assert all(source in brief for each in explanation.placements for source in each.sources)
    assert all(each.name in full for each in explanation.placements)
    assert "sin" in brief
    assert "einsum" not in brief.partition("what the rules")[0]
    told = json.loads(voxc("explain", apple, "--json").stdout)["components"]
    assert told == json.loads(json.dumps([document(explanation)]))
    assert sum(each["macs"] for each in told[0]["shares"].values()) == sum(each.macs for each in explanation.placements)


def test_changed_files_are_not_explained(apple: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(apple, copy)
    next(copy.rglob("Manifest.json")).write_text("{}")
    with pytest.raises(BundleError):
        explain_bundle(copy)


def test_targets_without_rules(compiled: Path) -> None:
    with pytest.raises(UnsupportedError, match="no rules"):
        explain_bundle(compiled)


def run_on(evidence: str, created: str, placements: dict[str, str]) -> DeviceRun:
    """What of a run an explanation looks at."""
    found = {"synthesizer": DeviceComponent(figures={}, placements=placements)}
    return DeviceRun.model_construct(created=created, host="studio", evidence=evidence, components=found)  # type: ignore[arg-type]


def explained_with(bundle: Bundle, *runs: DeviceRun) -> Explanation:
    measurements = bundle.manifest.measurements.model_copy(update={"devices": runs})
    manifest: Any = bundle.manifest.model_copy(update={"measurements": measurements})
    return explain_component(replace(bundle, manifest=manifest), manifest.build.components[0])


def test_what_the_device_said_replaces_the_prediction(apple: Path) -> None:
    bundle = Bundle.open(apple)
    (predicted,) = explain_bundle(apple)
    sin = next(each for each in predicted.placements if each.op == "sin")
    conv = next(each for each in predicted.placements if each.op == "conv")
    old = run_on("device", "2026-01-01", {conv.name: "CPU"})
    new = run_on("device", "2026-02-02", {conv.name: "GPU", sin.name: "CPU"})
    found = explained_with(bundle, new, old)
    assert (found.basis, found.predicted) == ("studio, 2026-02-02", False)
    placed = {each.name: each for each in found.placements}
    assert (placed[conv.name].where, placed[conv.name].why, placed[conv.name].macs) == ("GPU", "", conv.macs)
    assert (placed[sin.name].where, placed[sin.name].why) == ("CPU", sin.why)
    assert {each.where for each in found.placements} == {"GPU", "CPU", "?"}
    assert generations(found.placements) == {}
    assert any("as measured on studio" in str(part) for part in report(found, brief=False))


def test_a_host_that_is_no_device_replaces_nothing(apple: Path) -> None:
    bundle = Bundle.open(apple)
    assert explained_with(bundle, run_on("host", "2026-01-01", {"x": "CPU"})).predicted
