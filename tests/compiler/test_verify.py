from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler.bundle import REFERENCE_NAME, Bundle
from voxc.compiler.core.errors import MissingRuntimeError
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.tensor import read_npz, write_npz
from voxc.compiler.manifest import MANIFEST_NAME, FileRecord, read_manifest, write_manifest
from voxc.compiler.verify import Check, verify_bundle


@pytest.fixture
def copy(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "copy"))


def failed(checks: list[Check]) -> list[str]:
    return [check.what for check in checks if not check.passed]


def test_a_good_bundle_passes(compiled: Path) -> None:
    checks = verify_bundle(compiled)
    assert not failed(checks)
    assert "synthesizer rerun" in [check.what for check in checks]


def test_a_kit_whose_agent_has_an_older_name_passes(copy: Path) -> None:
    (copy / "agent.py").write_text("print('hello')\n")
    manifest = read_manifest(copy)
    build = manifest.build.model_copy(update={"agent": FileRecord.of(copy, copy / "agent.py")})
    write_manifest(copy, manifest.model_copy(update={"build": build, "build_digest": build.digest()}))
    checks = verify_bundle(copy)
    assert not failed(checks)
    assert "agent.py" in [check.what for check in checks]
    (copy / "agent.py").write_text("print('Hello')\n")
    assert "agent.py" in failed(verify_bundle(copy))


def test_a_changed_artifact_is_seen_and_not_run(copy: Path) -> None:
    content = bytearray((copy / "synthesizer.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "synthesizer.onnx").write_bytes(content)
    assert failed(verify_bundle(copy)) == ["synthesizer.onnx", "synthesizer rerun"]


def test_a_changed_build_section_is_seen(copy: Path) -> None:
    document = json.loads((copy / MANIFEST_NAME).read_text())
    document["build"]["voice"]["speakers"] = 99
    (copy / MANIFEST_NAME).write_text(json.dumps(document))
    assert "build digest" in failed(verify_bundle(copy))


def rewrite_reference(copy: Path, **changes: np.ndarray) -> None:
    """Changes the reference and makes the manifest agree, as somebody would who wants to pass."""
    tensors = read_npz(copy / REFERENCE_NAME) | {f"synthesizer/{name}": array for name, array in changes.items()}
    write_npz(copy / REFERENCE_NAME, tensors)
    document = json.loads((copy / MANIFEST_NAME).read_text())
    document["measurements"]["reference"] = FileRecord.of(copy, copy / REFERENCE_NAME).model_dump()
    (copy / MANIFEST_NAME).write_text(json.dumps(document))


def test_numbers_that_do_not_come_out_again_are_seen(copy: Path) -> None:
    audio = Bundle.open(copy).reference("synthesizer")["audio"]
    rewrite_reference(copy, audio=audio + 0.01)
    assert failed(verify_bundle(copy)) == ["synthesizer rerun"]


def test_reference_inputs_that_do_not_fit_are_seen(copy: Path) -> None:
    rewrite_reference(copy, phone=np.zeros((1, 2, 3), np.float32))
    (check,) = (check for check in verify_bundle(copy) if not check.passed)
    assert "phone" in check.seen


def test_a_bundle_marked_as_failed_does_not_pass(copy: Path) -> None:
    document = json.loads((copy / MANIFEST_NAME).read_text())
    document.update(status="failed", failures=["too noisy"])
    (copy / MANIFEST_NAME).write_text(json.dumps(document))
    assert failed(verify_bundle(copy)) == ["status"]


@pytest.fixture
def backed(backed_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backed_bundle, tmp_path / "backed"))


def test_fallbacks_are_checked_too(backed: Path) -> None:
    checks = verify_bundle(backed)
    assert not failed(checks)
    assert {f"{name} fallback" for name in ("content", "retrieval", "synthesizer")} <= {check.what for check in checks}


def test_a_fallback_mends_nothing(backed: Path) -> None:
    (backed / "synthesizer.onnx").unlink()
    checks = {check.what: check for check in verify_bundle(backed)}
    assert not checks["synthesizer.onnx"].passed
    assert not checks["synthesizer rerun"].passed
    assert checks["synthesizer fallback"].passed
    assert "SNR inf dB (at least 60)" in checks["synthesizer fallback"].seen


def test_a_damaged_fallback_is_seen_and_not_run(backed: Path) -> None:
    graph = backed / "fallback" / "content.json"
    graph.write_text(graph.read_text().replace("aten.gelu.default", "aten.relu.default"))
    assert {"fallback/content.json", "content fallback"} <= set(failed(verify_bundle(backed)))


def test_a_fallback_that_agrees_with_the_manifest_and_not_with_the_network_is_seen(backed: Path) -> None:
    path = backed / "fallback" / "content.json"
    path.write_text(path.read_text().replace("aten.gelu.default", "aten.tanh.default"))
    document = json.loads((backed / MANIFEST_NAME).read_text())
    (content,) = (each for each in document["build"]["components"] if each["name"] == "content")
    content["fallback"][0] = FileRecord.of(backed, path).model_dump()
    (backed / MANIFEST_NAME).write_text(json.dumps(document))
    assert set(failed(verify_bundle(backed))) == {"build digest", "content fallback"}


def test_a_missing_runtime_is_a_failed_check_where_there_is_a_fallback(
    backed: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntimeBackend, "run_needs", (Requirement("voxc-no-such-package", "pip install it"),))
    checks = {check.what: check for check in verify_bundle(backed)}
    assert "voxc-no-such-package (missing)" in checks["runtime"].seen
    assert not checks["synthesizer rerun"].passed
    assert "pip install it" in checks["synthesizer rerun"].seen
    assert checks["synthesizer fallback"].passed
    with pytest.raises(MissingRuntimeError):
        verify_bundle(compiled)


def with_integers(copy: Path, snr: float, evidence: str = "host") -> None:
    """Makes the manifest say that the component has integers, and how near they came where it was compiled."""
    document = json.loads((copy / MANIFEST_NAME).read_text())
    document["build"]["components"][0]["precisions"] = {"dec": {"int8": 2}}
    figures = document["measurements"]["components"]["synthesizer"]["figures"]
    figures["snr"] |= {"value": snr, "evidence": evidence}
    (copy / MANIFEST_NAME).write_text(json.dumps(document))


def test_integers_come_as_near_as_where_they_were_compiled(copy: Path) -> None:
    (rerun,) = (check for check in verify_bundle(copy) if check.what == "synthesizer rerun")
    snr = float(rerun.seen.split()[1])
    with_integers(copy, snr + 0.5)
    assert "synthesizer rerun" not in failed(verify_bundle(copy))
    with_integers(copy, snr + 1.5)
    assert "synthesizer rerun" in failed(verify_bundle(copy))
    with_integers(copy, snr + 1.5, evidence="reference")
    assert "synthesizer rerun" not in failed(verify_bundle(copy)), "another kind of runtime measured it"


def test_integers_that_nobody_measured_are_held_to_the_bound(copy: Path) -> None:
    with_integers(copy, 100.0)
    document = json.loads((copy / MANIFEST_NAME).read_text())
    del document["measurements"]["components"]["synthesizer"]["figures"]["snr"]
    (copy / MANIFEST_NAME).write_text(json.dumps(document))
    assert "synthesizer rerun" not in failed(verify_bundle(copy))
    document["measurements"]["components"] = {}
    (copy / MANIFEST_NAME).write_text(json.dumps(document))
    assert "synthesizer rerun" not in failed(verify_bundle(copy))
