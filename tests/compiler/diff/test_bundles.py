from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Voxc
from voxc.compiler.diff.bundles import diff_bundles
from voxc.compiler.manifest import MANIFEST_NAME, FileRecord
from voxc.compiler.precision.plans import PLAN_NAME


@pytest.fixture
def other(compiled: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be changed."""
    return shutil.copytree(compiled, tmp_path / "other")


def change(place: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((place / MANIFEST_NAME).read_text())
    edit(document)
    (place / MANIFEST_NAME).write_text(json.dumps(document))


def test_a_bundle_does_not_differ_from_itself(compiled: Path, voxc: Voxc) -> None:
    diff = diff_bundles(compiled, compiled, {})
    assert diff.same_build
    assert not any((diff.settings, diff.files, diff.operators, diff.plan, diff.worse))
    assert {each.verdict for each in diff.figures} == {"same", "unjudged"}
    result = voxc("diff", compiled, compiled, "--gate")
    assert result.exit_code == 0
    assert "the builds are the same" in result.stdout


def test_what_was_built_differs(compiled: Path, other: Path) -> None:
    plan = json.loads((other / PLAN_NAME).read_text())
    plan["components"]["synthesizer"]["nodes"] = {f"node_{n}": "int8" for n in range(9)}
    (other / PLAN_NAME).write_text(json.dumps(plan))

    def edit(document: dict[str, Any]) -> None:
        build = document["build"]
        build["plan"] = FileRecord.of(other, other / PLAN_NAME).model_dump(mode="json")
        build["recipe"]["frames"] = 60
        (component,) = build["components"]
        component["operators"]["Conv"]["int8"] = 7
        component["files"][0]["sha256"] = "0" * 64
        document["build_digest"] = "1" * 64

    change(other, edit)
    diff = diff_bundles(compiled, other, {})
    assert not diff.same_build
    assert [(each.key, each.old, each.new) for each in diff.settings] == [("recipe.frames", 30, 60)]
    assert [each.path for each in diff.files] == ["plan.json", "synthesizer.onnx"]
    (operator,) = diff.operators
    assert (operator.operator, operator.precision, operator.old, operator.new) == ("Conv", "int8", 0, 7)
    (moved,) = diff.plan
    assert (moved.old, moved.new, moved.nodes) == ("fp32", "int8", 9)
    assert moved.first == ("node_0", "node_1", "node_2", "node_3", "node_4")


def test_files_of_one_bundle_alone(compiled: Path, other: Path) -> None:
    (other / "agent.pyz").write_bytes(b"agent")
    agent = FileRecord.of(other, other / "agent.pyz").model_dump(mode="json")
    change(other, lambda document: document["build"].update(agent=agent))
    (file,) = diff_bundles(compiled, other, {}).files
    assert (file.path, file.old) == ("agent.pyz", None)
    (file,) = diff_bundles(other, compiled, {}).files
    assert (file.path, file.new) == ("agent.pyz", None)


def slower_and_noisier(document: dict[str, Any]) -> None:
    figures = document["measurements"]["components"]["synthesizer"]["figures"]
    figures["speedup"]["value"] /= 2
    figures["snr"]["value"] -= 3


def test_a_gate_fails_for_what_got_worse(compiled: Path, other: Path, voxc: Voxc) -> None:
    change(other, slower_and_noisier)
    assert voxc("diff", compiled, other).exit_code == 0
    result = voxc("diff", compiled, other, "--gate")
    assert result.exit_code == 1
    assert "bundle.speedup went from" in result.stderr
    assert "synthesizer.snr went from" in result.stderr
    assert "WORSE" in result.stdout
    assert voxc("diff", other, compiled, "--gate").exit_code == 0
    tolerant = voxc("diff", compiled, other, "--gate", "--tolerance", "speedup=60%", "--tolerance", "snr=4")
    assert tolerant.exit_code == 0


def test_a_bundle_that_fails_now_is_worse(compiled: Path, other: Path) -> None:
    change(other, lambda document: document.update(status="failed", failures=["gate bundle.size_mib<=1: is 2"]))
    assert diff_bundles(compiled, other, {}).worse == ("gate bundle.size_mib<=1: is 2",)
    assert diff_bundles(other, other, {}).worse == ()


def test_json_has_every_figure(compiled: Path, other: Path, voxc: Voxc) -> None:
    change(other, slower_and_noisier)
    result = voxc("diff", compiled, other, "--gate", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    figures = {(each["part"], each["name"]): each for each in document["figures"]}
    assert figures["bundle", "speedup"]["change"] == pytest.approx(0.5, rel=1e-4)
    assert figures["synthesizer", "snr"]["change"] == pytest.approx(-3)
    assert figures["synthesizer", "max_abs_error"]["verdict"] == "unjudged"
    assert len(document["worse"]) == 2


def test_what_is_no_bundle_is_refused(compiled: Path, tmp_path: Path, voxc: Voxc) -> None:
    result = voxc("diff", compiled, tmp_path)
    assert result.exit_code == 2
    assert "not a bundle" in result.stderr
