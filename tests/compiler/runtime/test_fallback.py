from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.compiler.fallback.networks import assert_as_eager
from tests.compiler.runtime.standins import random_voice, tone
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, MissingRuntimeError, TensorError
from voxc.compiler.core.runner import Held, Requirement, Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.runtime.component import load_backed, load_component, run_component
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.fallback import BackedRunner, Fallbacks, backed
from voxc.compiler.runtime.pipeline import load_pipeline

ONE = {"x": np.ones(1, np.float32)}


class Times(Runner):
    """Gives its input times a factor, and raises `error` from its call number `fails` on."""

    def __init__(self, factor: int, error: Exception | None = None, fails: int = 0) -> None:
        self.factor, self.error, self.left = factor, error, fails

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.left -= 1
        if self.error is not None and self.left < 0:
            raise self.error
        return {"y": self.factor * inputs["x"]}


@dataclasses.dataclass
class Place:
    """Something that a runtime holds."""

    array: Array

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Array:
        return self.array


class Holding(Times):
    def hand_on(self, inputs: Mapping[str, Array | Held]) -> Mapping[str, Array | Held]:
        return {"y": Place(self.run({name: np.asarray(value) for name, value in inputs.items()})["y"])}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def fallbacks(said: list[str]) -> Fallbacks:
    return Fallbacks(said.append)


def test_an_artifact_that_runs_is_what_runs(fallbacks: Fallbacks, said: list[str]) -> None:
    runner = backed("content", lambda: Times(2), lambda: pytest.fail("opened for nothing"), fallbacks)
    assert runner.run(ONE)["y"] == 2
    assert (fallbacks.reasons, said) == ({}, [])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TensorError("the engine is gone"), "the engine is gone"),
        (RuntimeError("CUDA error:\n  out of memory"), "RuntimeError: CUDA error: out of memory"),
        (OSError("libnvinfer.so.8"), "OSError: libnvinfer.so.8"),
        (MemoryError(), "MemoryError: "),
    ],
)
def test_an_artifact_that_fails_midway_is_never_asked_again(
    fallbacks: Fallbacks, said: list[str], error: Exception, told: str
) -> None:
    failing = Times(2, error, fails=1)
    runner = backed("content", lambda: failing, lambda: Times(3), fallbacks)
    assert [int(runner.run(ONE)["y"][0]) for _ in range(4)] == [2, 3, 3, 3]
    assert failing.left == -1
    assert said == [f"PyTorch runs content instead: {told}"]


def test_several_that_cannot_be_loaded_are_one_warning(fallbacks: Fallbacks, said: list[str]) -> None:
    def missing() -> Runner:
        raise MissingRuntimeError("install it")

    runners = [backed(name, missing, lambda: Times(3), fallbacks) for name in ("content", "synthesizer")]
    fallbacks.tell()
    assert said == ["PyTorch runs content, synthesizer instead: install it"]
    later = backed("retrieval", lambda: Times(2, TensorError("no")), lambda: Times(3), fallbacks)
    assert [int(runner.run(ONE)["y"][0]) for runner in (*runners, later)] == [3, 3, 3]
    assert len(said) == 1
    assert list(fallbacks.reasons) == ["content", "synthesizer", "retrieval"]


def test_a_fallback_that_is_no_better_gives_both_reasons(fallbacks: Fallbacks, said: list[str]) -> None:
    def bad() -> Runner:
        raise BundleError("damaged too")

    runner = backed("content", lambda: Times(2, TensorError("it stopped")), bad, fallbacks)
    with pytest.raises(BundleError, match="it stopped; nor does its fallback run: damaged too"):
        runner.run(ONE)
    assert said == []


def test_ctrl_c_is_no_failure(fallbacks: Fallbacks) -> None:
    class Stopped(Times):
        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            raise KeyboardInterrupt

    runner = backed("content", lambda: Stopped(2), lambda: Times(3), fallbacks)
    with pytest.raises(KeyboardInterrupt):
        runner.run(ONE)


def test_tensors_stay_where_they_are(fallbacks: Fallbacks) -> None:
    runner = BackedRunner("content", Holding(2, TensorError("no"), fails=1), lambda: Times(3), fallbacks)
    held = runner.hand_on(ONE)["y"]
    assert isinstance(held, Place)
    assert runner.hand_on({"x": held})["y"] == 6


def test_noise_is_the_same_after_a_failure(fallbacks: Fallbacks, said: list[str]) -> None:
    """The same network stands behind itself: nothing is to be heard of its breakdown in the third window."""
    whole = random_voice()
    synthesizer = whole.runners["synthesizer"]

    class Breaking(Runner):
        windows = 0

        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            self.windows += 1
            if self.windows == 3:
                raise TensorError("the third window")
            return synthesizer.run(inputs)

    backed_up = backed("synthesizer", Breaking, lambda: synthesizer, fallbacks)
    broken = dataclasses.replace(whole, runners={**whole.runners, "synthesizer": backed_up})
    audio = tone(200, 4, 16000)
    expected, _ = convert_audio(audio, 16000, whole)
    found, _ = convert_audio(audio, 16000, broken)
    np.testing.assert_array_equal(found, expected)
    assert said == ["PyTorch runs synthesizer instead: the third window"]


@pytest.fixture
def copy(backed_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backed_bundle, tmp_path / "copy"))


def run_reference(directory: Path, fallbacks: Fallbacks | None) -> tuple[Array, Array]:
    """What a bundle gives for its reference inputs, and what PyTorch gave when it was compiled."""
    bundle = Bundle.open(directory)
    component = bundle.manifest.component("synthesizer")
    tensors = bundle.reference("synthesizer")
    expected = tensors.pop("audio")
    runner = load_backed(bundle, "synthesizer", 1, fallbacks)
    return run_component(runner, component, tensors)["audio"], expected


def test_damaged_and_removed_artifacts(copy: Path, fallbacks: Fallbacks, said: list[str]) -> None:
    artifact = copy / "synthesizer.onnx"
    found, expected = run_reference(copy, fallbacks)
    assert np.abs(found - expected).max() > 0
    assert fallbacks.reasons == {}
    artifact.write_bytes(artifact.read_bytes()[:-1])
    found, expected = run_reference(copy, fallbacks)
    assert_as_eager(found, expected)
    assert "synthesizer.onnx" in fallbacks.reasons["synthesizer"]
    artifact.unlink()
    found, expected = run_reference(copy, fallbacks)
    assert_as_eager(found, expected)
    assert "missing from the bundle" in fallbacks.reasons["synthesizer"]
    with pytest.raises(BundleError, match="missing from the bundle"):
        run_reference(copy, None)


def test_a_damaged_fallback_is_not_run(copy: Path, fallbacks: Fallbacks) -> None:
    (copy / "synthesizer.onnx").unlink()
    graph = copy / "fallback" / "synthesizer.json"
    graph.write_text(graph.read_text().replace("aten.relu.default", "aten.sqrt.default"))
    with pytest.raises(BundleError, match=r"nor does its fallback run: .*its SHA-256 is not the manifest's"):
        run_reference(copy, fallbacks)


def test_a_runtime_that_is_not_installed(
    backed_bundle: Path, fallbacks: Fallbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = (Requirement("voxc-no-such-package", "pip install it"),)
    monkeypatch.setattr(OnnxRuntimeBackend, "run_needs", nowhere)
    found, expected = run_reference(backed_bundle, fallbacks)
    assert_as_eager(found, expected)
    assert "voxc-no-such-package (pip install it)" in fallbacks.reasons["synthesizer"]


def test_a_runtime_that_cannot_be_imported(
    backed_bundle: Path, fallbacks: Fallbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Runner:
        raise ImportError("libonnxruntime.so: cannot open shared object file")

    monkeypatch.setattr(OnnxRuntimeBackend, "load", broken)
    found, expected = run_reference(backed_bundle, fallbacks)
    assert_as_eager(found, expected)
    with pytest.raises(MissingRuntimeError, match=r"what runs onnx files is broken: libonnxruntime\.so"):
        load_component(Bundle.open(backed_bundle), "synthesizer")


def test_an_artifact_of_a_bundle_that_stops_midway(
    backed_bundle: Path, fallbacks: Fallbacks, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = load_pipeline(Bundle.open(backed_bundle), 1, fallbacks)
    run, windows = OnnxRuntimeRunner.run, []

    def breaking(self: OnnxRuntimeRunner, inputs: Mapping[str, Array]) -> dict[str, Array]:
        windows.append("audio" in inputs)
        if len(windows) > 4:
            raise TensorError("ONNX Runtime stopped")
        return run(self, inputs)

    audio = tone(200, 2, 16000)
    expected, _ = convert_audio(audio, 16000, pipeline)
    monkeypatch.setattr(OnnxRuntimeRunner, "run", breaking)
    found, _ = convert_audio(audio, 16000, pipeline)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(said) == 1
    assert set(fallbacks.reasons) == {"content", "retrieval", "synthesizer"}
