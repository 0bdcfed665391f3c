from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.figure import Figure
from voxc.compiler.manifest import MANIFEST_NAME, SCHEMA_FILE, json_schema, read_manifest, write_manifest


def test_the_published_schema_is_that_of_the_classes() -> None:
    """`make schema` writes it anew."""
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema()


def test_every_number_has_evidence(compiled: Path) -> None:
    manifest = read_manifest(compiled)
    figures = manifest.measurements.components["synthesizer"].figures
    assert {"snr", "max_abs_error", "mean_abs_error", "log_mel_distance", "latency_median", "latency_p90",
            "latency_p99", "latency_min", "runs_per_second", "eager_latency_median", "speedup",
            "real_time_factor"} <= figures.keys()  # fmt: skip
    assert all(figure.evidence == "host" and figure.how for figure in figures.values())


@pytest.mark.parametrize(
    "fields",
    [
        {"value": 1.0, "evidence": None},
        {"value": None, "evidence": "host"},
        {"value": float("nan"), "evidence": "host"},
    ],
)
def test_a_number_without_evidence_cannot_be_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Figure(unit="ms", how="guessed", **fields)


def test_what_was_built_is_told(compiled: Path) -> None:
    manifest = read_manifest(compiled)
    (component,) = manifest.build.components
    assert component.passes[0].name == "hoist_noise"
    assert component.precision_histogram["fp32"] > 50
    assert manifest.build.recipe.frames == 30
    assert manifest.build.source.facts["version"] == "v2"
    assert manifest.build.digest() == manifest.build_digest


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return apply


def escape(document: dict[str, Any]) -> None:
    document["build"]["components"][0]["files"][0]["path"] = "../../etc/passwd"


HARMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: path.unlink(), "has no manifest.json"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100]), "not readable as JSON"),
    "not text": (lambda path: path.write_bytes(b"\xff\xfe"), "not readable as JSON"),
    "another version": (edit(lambda document: document.update(schema_version=2)), "schema_version"),
    "unknown key": (edit(lambda document: document.update(extra=1)), "extra"),
    "missing section": (edit(lambda document: document.pop("build")), "'build' is a required property"),
    "text for a number": (edit(lambda document: document["measurements"].update(threads="two")), "threads"),
    "no components": (edit(lambda document: document["build"].update(components=[])), "components"),
    "path escape": (edit(escape), "does not stay inside the bundle"),
    "nested too deep": (lambda path: path.write_text("[" * 100_000), "not readable as JSON"),
}


@pytest.mark.parametrize("case", HARMED)
def test_a_harmed_manifest_is_refused(compiled: Path, tmp_path: Path, case: str) -> None:
    harm, complaint = HARMED[case]
    copy = Path(shutil.copytree(compiled, tmp_path / "copy"))
    harm(copy / MANIFEST_NAME)
    with pytest.raises(BundleError, match=complaint):
        read_manifest(copy)


def test_a_file_is_no_bundle(voice_file: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        read_manifest(voice_file)


def test_what_could_not_be_read_is_not_written(compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxc.compiler.manifest.MAX_MANIFEST_BYTES", 1 << 20)
    manifest = read_manifest(compiled)
    huge = manifest.model_copy(update={"failures": ("x" * (1 << 20),)})
    with pytest.raises(BundleError, match="would be larger than 1 MiB"):
        write_manifest(tmp_path, huge)
    assert not list(tmp_path.iterdir())
