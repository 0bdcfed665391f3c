from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from voxc.compiler.bundle import REFERENCE_NAME, Bundle
from voxc.compiler.manifest import MANIFEST_NAME, FileRecord
from voxc.compiler.tensor import read_npz, write_npz
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
