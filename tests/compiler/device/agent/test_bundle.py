from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.device.asking import ask
from tests.compiler.device.conftest import edit_manifest


def test_pickles_are_not_opened(bundle: Path, tmp_path: Path) -> None:
    reference = bundle / "reference.npz"
    with np.load(reference) as archive:
        arrays: dict[str, Any] = dict(archive)
    arrays["synthesizer/phone"] = np.array([{"a": 1}], dtype=object)
    np.savez(reference, **arrays)
    digest = hashlib.sha256(reference.read_bytes()).hexdigest()
    edit_manifest(bundle, lambda document: document["measurements"]["reference"].update(sha256=digest))
    answer = ask(tmp_path, "run", bundle)
    assert answer.code == 2
    assert "not the reference tensors of the manifest (Object arrays" in answer.document["error"]["message"]


def test_a_damaged_file_is_not_run(bundle: Path, tmp_path: Path) -> None:
    file = bundle / "synthesizer.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    answer = ask(tmp_path, "measure", bundle)
    assert answer.code == 2
    assert answer.document["error"]["kind"] == "bundle"
    assert "synthesizer.onnx: its SHA-256 is not the manifest's" in answer.document["error"]["message"]


def test_every_file_of_a_component_is_checked(bundle: Path, tmp_path: Path) -> None:
    (bundle / "weights.bin").write_bytes(b"weights")
    record = {"path": "weights.bin", "bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
    edit_manifest(bundle, lambda document: document["build"]["components"][0]["files"].append(record))
    assert ask(tmp_path, "run", bundle).code == 0
    (bundle / "weights.bin").write_bytes(b"Weights")
    answer = ask(tmp_path, "run", bundle)
    assert answer.code == 2
    assert "weights.bin: its SHA-256 is not the manifest's" in answer.document["error"]["message"]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd"])
def test_files_stay_inside_the_bundle(bundle: Path, tmp_path: Path, path: str) -> None:
    edit_manifest(bundle, lambda document: document["build"]["components"][0]["files"][0].update(path=path))
    answer = ask(tmp_path, "measure", bundle)
    assert answer.code == 2
    assert f"{path}: leads out of the bundle" in answer.document["error"]["message"]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"build": 1}'])
def test_a_directory_without_a_manifest_is_no_bundle(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "bundle").mkdir()
    if text is not None:
        (tmp_path / "bundle" / "manifest.json").write_text(text)
    answer = ask(tmp_path, "measure", tmp_path / "bundle")
    assert answer.code == 2
    assert "not a manifest of a bundle" in answer.document["error"]["message"]
