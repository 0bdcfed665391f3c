"""What a later process finds of an earlier one's work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voxc.compiler.cache.store import Store
from voxc.compiler.calibration.source import Calibration
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.job import Job
from voxc.compiler.manifest import Manifest
from voxc.compiler.request import Request
from voxc.compiler.session import Session

INTEGERS = PrecisionRecipe().with_options(("int8",), min_snr=1)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("this has been kept")


def compiled(request: Request, place: Path, store: Store | None) -> Manifest:
    """By a process of its own, as far as the session goes."""
    ((_, manifest),) = compile_model(replace(request, output=place), session=Session(store))
    return manifest


def test_exports_and_calibration_are_made_once(
    voice_file: Path, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "cache")
    request = Request(voice_file, (target,), frames=20, threads=1, precision=INTEGERS)
    first = compiled(request, tmp_path / "first", store)
    monkeypatch.setattr("voxc.compiler.stages.export.export", refuse)
    monkeypatch.setattr(Calibration, "find", refuse)
    other = load_targets()["tflite-int8"]
    mixed = replace(request, precision=PrecisionRecipe().with_options(("mixed",), min_snr=1))
    compiled(replace(request, targets=(other,)), tmp_path / "target", store)
    compiled(mixed, tmp_path / "precision", store)
    monkeypatch.setattr("voxc.compiler.precision.decide.calibrate", refuse)
    monkeypatch.setattr(Job, "emit", refuse)
    monkeypatch.setattr("voxc.compiler.compiled.in_floats", lambda *_: None)  # which is emitted to be timed
    again = compiled(request, tmp_path / "again", store)
    assert again.component("synthesizer").files == first.component("synthesizer").files
    assert again.build_digest == first.build_digest
    assert again.measurements.calibration == first.measurements.calibration


def test_a_cache_does_not_change_what_comes_out(voice_file: Path, target: Target, tmp_path: Path) -> None:
    request = Request(voice_file, (target,), frames=20, threads=1, precision=INTEGERS)
    store = Store(tmp_path / "cache")
    digests = {
        compiled(request, tmp_path / name, each).build_digest
        for name, each in (("a", None), ("b", store), ("c", store))
    }
    assert len(digests) == 1


def test_another_checkpoint_is_another_model(voice_file: Path, target: Target, tmp_path: Path) -> None:
    from tests.voices import write_voice

    store = Store(tmp_path / "cache")
    first, second = (write_voice(tmp_path / f"{seed}.pth", seed=seed) for seed in (1, 2))
    made = [
        compiled(Request(voice, (target,), frames=20, threads=1), tmp_path / voice.stem, store).component("synthesizer")
        for voice in (first, second)
    ]
    assert made[0].files[0].sha256 != made[1].files[0].sha256


def test_plans_are_scored_without_a_bundle(voice_file: Path, target: Target) -> None:
    request = Request(voice_file, (target,), frames=20, threads=1, precision=INTEGERS)
    session = Session()
    job = Job(session, request, target, session.work(request))
    (part,) = job.work.parts
    plan = job.decide(part).program.plan
    integers = job.score({"synthesizer": plan})["synthesizer"]
    floats = job.score({"synthesizer": plan.model_copy(update={"nodes": {}})})["synthesizer"]
    assert 1 < integers < 60 < floats
