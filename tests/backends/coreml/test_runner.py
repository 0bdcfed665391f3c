"""Core ML itself is only on macOS: here a stand-in takes the calls, and answers with the interpreter's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.backends.coreml.harness import component_for, emit, gpu, program_for
from voxc.backends.coreml import emitter, runner
from voxc.backends.coreml.interpreter import Interpreter
from voxc.backends.coreml.runner import CoreMLRunner
from voxc.backends.coreml.sdk import ct
from voxc.compiler.core.errors import BundleError, TensorError


class FakeModel:
    """What coremltools calls MLModel, as far as the runner uses it."""

    made: list[FakeModel] = []  # noqa: RUF012

    def __init__(self, package: str, compute_units: ct.ComputeUnit, function_name: str | None = None) -> None:
        self.arguments = (compute_units, function_name)
        self.interpreter = Interpreter(Path(package), 1, function_name)
        FakeModel.made.append(self)

    def predict(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert all(array.dtype in (np.float32, np.int32) for array in given.values())
        return {**self.interpreter.run(given), "something else": np.zeros(1)}


@pytest.fixture(autouse=True)
def core_ml(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeModel.made = []
    monkeypatch.setattr(runner.models, "MLModel", FakeModel)


ROWS = torch.tensor([[0.0], [1.0], [2.0]])


def network(x: Tensor) -> Tensor:
    return x * 2 + ROWS


def test_the_units_are_what_the_package_says(tmp_path: Path) -> None:
    found = CoreMLRunner(emit(tmp_path, program_for(component_for(network, (3, "T")))))
    x = np.ones((3, 12), np.float32)
    np.testing.assert_array_equal(found.run({"x0": x})["y"], x * 2 + np.arange(3.0)[:, None])
    assert list(found.run({"x0": x})) == ["y"]
    assert [model.arguments for model in FakeModel.made] == [(ct.ComputeUnit.CPU_AND_GPU, None)]


def test_the_function_is_found_by_the_shapes_and_loaded_when_needed(tmp_path: Path) -> None:
    component = component_for(network, (3, "T"), output=(3, "T"))
    programs = [program_for(component, frames=frames) for frames in (12, 8, 20)]
    package = tmp_path / "several.mlpackage"
    emitter.emit(programs[0], gpu(), package, programs[1:])
    found = CoreMLRunner(package)
    for frames in (8, 12, 8):
        assert found.run({"x0": np.ones((3, frames), np.float32)})["y"].shape == (3, frames)
    assert [model.arguments[1] for model in FakeModel.made] == ["frames_12", "frames_8"]
    with pytest.raises(
        TensorError, match=r"Core ML takes x0 \[3, 12\] or x0 \[3, 20\] or x0 \[3, 8\], not x0 \[3, 9\]"
    ):
        found.run({"x0": np.ones((3, 9), np.float32)})


def test_integers_of_64_bits_become_narrower_or_are_refused() -> None:
    assert runner.narrowed("pitch", np.array([1, -2])).dtype == np.int32
    with pytest.raises(TensorError, match="pitch: 0 to 4294967296, and Core ML takes 32 bits"):
        runner.narrowed("pitch", np.array([0, 1 << 32]))


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_what_core_ml_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    package = emit(tmp_path, program_for(component_for(network, (3, "T"))))

    def refuse(*_: Any, **__: Any) -> None:
        raise error("no such luck")

    monkeypatch.setattr(FakeModel, "predict", refuse)
    with pytest.raises(TensorError, match="Core ML could not run these inputs: no such luck"):
        CoreMLRunner(package).run({"x0": np.ones((3, 12), np.float32)})
    monkeypatch.setattr(runner.models, "MLModel", refuse)
    with pytest.raises(BundleError, match="Core ML refuses it: no such luck"):
        CoreMLRunner(package)
