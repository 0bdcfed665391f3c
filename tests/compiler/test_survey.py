from __future__ import annotations

from typing import ClassVar

import pytest

from tests.conftest import Voxc
from voxc.backends import BACKENDS, known_targets
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler import survey
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.target import Target
from voxc.compiler.survey import survey_packages, survey_target


class NeedsMore(OnnxRuntimeBackend):
    run_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("no-such-runtime", "pip install 'voxc[more]'"),)


def test_what_is_installed_can_be_used(target: Target) -> None:
    survey = survey_target(target)
    assert survey.emit.able
    assert survey.run.able
    assert survey.measure.able


def test_a_device_is_measured_on_the_device(target: Target) -> None:
    survey = survey_target(target.model_copy(update={"machine": "board"}))
    assert survey.run.able
    assert survey.measure.why_not == "only on the device"


def test_a_reference_is_no_measurement(target: Target) -> None:
    survey = survey_target(target.model_copy(update={"name": "tensorrt", "backend": "tensorrt"}))
    assert survey.run.able
    assert survey.measure.why_not == "only in the target's own runtime"


def test_what_is_missing_is_told(target: Target, monkeypatch: pytest.MonkeyPatch, voxc: Voxc) -> None:
    monkeypatch.setitem(BACKENDS, "onnxruntime", NeedsMore())
    assert survey_target(target).run.why_not == "missing: no-such-runtime"
    (missing,) = (found for found in survey_packages() if found.version is None)
    assert missing.install == "pip install 'voxc[more]'"
    assert not missing.needed
    doctor = voxc("doctor")
    assert doctor.exit_code == 0
    assert doctor.stdout.splitlines()[-1] == "pip install 'voxc[more]'  # no-such-runtime"


def test_what_is_needed_and_missing_is_exit_3(monkeypatch: pytest.MonkeyPatch, voxc: Voxc) -> None:
    monkeypatch.setattr(survey, "CORE", (Requirement("no-such-runtime", "pip install voxc"),))
    monkeypatch.setattr(survey, "CORE_USES", {"no-such-runtime": ["everything"]})
    doctor = voxc("doctor")
    assert doctor.exit_code == 3
    assert "missing: no-such-runtime; pip install voxc" in doctor.stderr


def test_packages_have_all_their_uses() -> None:
    found = {finding.package: finding for finding in survey_packages()}
    assert found["onnx"].used_for == "emitting onnxruntime, emitting tensorrt"
    assert found["onnxruntime"].used_for == "running onnxruntime, running tensorrt"
    needed = {name for name, finding in found.items() if finding.needed}
    assert needed == {"numpy", "onnxruntime", "soundfile", "soxr", "praat-parselmouth"}
    assert found["torch"].install == found["onnx"].install == "pip install 'voxc[compile]'"


@pytest.mark.parametrize("columns", [40, 60])
def test_narrow_terminals_lose_no_letter(columns: int, monkeypatch: pytest.MonkeyPatch, voxc: Voxc) -> None:
    wide = voxc("targets").stdout.split()
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = voxc("targets").stdout
    assert max(map(len, narrow.splitlines())) <= columns
    assert "…" not in narrow
    assert {word for word in wide if "-" in word} <= set(narrow.split())
    assert {target.name for target in known_targets().values()} <= set(narrow.splitlines())
    assert "what it is: Any CPU" in narrow
