from __future__ import annotations

from typing import ClassVar

import pytest

from tests.conftest import Voxc
from voxc.backends import BACKENDS
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
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
    doctor = voxc("doctor")
    assert doctor.exit_code == 3
    assert "missing: no-such-runtime" in doctor.stderr
