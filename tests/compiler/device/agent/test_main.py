from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.compiler.device.asking import ask
from tests.compiler.device.conftest import edit_manifest, module_that
from voxc.compiler.device.protocol import PROGRESS, PROTOCOL

QUICK = ("--runs", "3", "--warm-up", "1")


def test_compares_and_times(bundle: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "measure", bundle, *QUICK, "--threads", 1)
    assert answer.code == 0, answer.stderr
    assert answer.document["agent"] == PROTOCOL
    assert answer.document["settings"] == {"threads": 1}
    assert {"onnxruntime", "numpy"} == answer.document["runtime"].keys()
    assert answer.document["machine"]["cores"] >= 1
    found = answer.document["components"]["synthesizer"]
    assert found["passed"]
    assert found["snr_db"] > 100
    assert 0 < found["mean_abs_error"] < found["max_abs_error"] < 1e-3
    assert found["runs"] == 3
    latency = found["latency_ms"]
    assert 0 < latency["min"] <= latency["median"] <= latency["p90"] <= latency["p99"]
    progress = [line for line in answer.stderr.splitlines() if line.startswith(PROGRESS)]
    assert progress[0] == "voxc-agent: synthesizer: checking files"
    assert any("timing, run 1" in line for line in progress)


@pytest.mark.parametrize(("command", "has", "lacks"), [("run", "snr_db", "latency_ms"), ("bench", "runs", "passed")])
def test_run_compares_and_bench_times(bundle: Path, tmp_path: Path, command: str, has: str, lacks: str) -> None:
    found = ask(tmp_path, command, bundle, *QUICK).document["components"]["synthesizer"]
    assert has in found
    assert lacks not in found


def test_an_output_that_differs_is_exit_code_1(bundle: Path, tmp_path: Path) -> None:
    edit_manifest(bundle, lambda document: document["build"]["components"][0].update(min_snr_db=500))
    answer = ask(tmp_path, "run", bundle)
    assert answer.code == 1
    assert answer.document["components"]["synthesizer"]["passed"] is False


def test_unknown_components_and_runtimes_are_named(bundle: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "measure", bundle, "--component", "vocoder")
    assert answer.document["error"]["message"] == "the bundle has no component vocoder; it has synthesizer"
    edit_manifest(bundle, lambda document: document["build"]["target"].update(backend="abacus"))
    assert "the agent has no runtime abacus" in ask(tmp_path, "measure", bundle).document["error"]["message"]


@pytest.mark.parametrize("package", ["onnxruntime", "numpy"])
def test_a_missing_package_is_named_with_its_remedy(bundle: Path, tmp_path: Path, package: str) -> None:
    path = module_that(tmp_path / "path", package, f"raise ImportError('no {package} here')")
    answer = ask(tmp_path, "measure", bundle, path=path)
    assert answer.code == 3
    assert answer.document["error"]["kind"] == "missing"
    message = answer.document["error"]["message"]
    assert f"{package} cannot be imported by {sys.executable}" in message
    assert f"no {package} here" in message
    assert f"pip install {package}" in message


def test_settings_that_a_runtime_lacks_are_refused(bundle: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "measure", bundle, "--compute-units", "ALL")
    assert answer.code == 2
    assert answer.document["error"] == {
        "kind": "setting", "message": "compute units ALL: onnxruntime has no such setting"
    }  # fmt: skip


def test_stdout_is_the_document_whatever_runtimes_print(bundle: Path, tmp_path: Path) -> None:
    noisy = "import os, sys\nprint('hello from Python')\nos.write(1, b'hello from C\\n')\nraise ImportError"
    answer = ask(tmp_path, "measure", bundle, path=module_that(tmp_path / "path", "onnxruntime", noisy))
    assert answer.document["error"]["kind"] == "missing"
    assert "hello from C" in answer.stderr
