from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from tests.passes.harness import FRAMES, Function, program_of
from voxc.backends.mlx import emitter
from voxc.backends.mlx.runner import MlxRunner
from voxc.compiler.core.errors import BundleError, TensorError

ONES = {"x0": np.ones((1, FRAMES), np.float32)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weight = torch.ones(5, FRAMES)
    return emitter.emit(program_of(Function(lambda x: F.relu(F.linear(x, weight)) * 2), (1, "T")), tmp_path)[0]


def test_it_runs(file: Path) -> None:
    assert (MlxRunner(file).run(ONES)["y"] == 2 * FRAMES).all()


@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles for CPUs with g++")
def test_compiled_it_gives_the_same(file: Path) -> None:
    np.testing.assert_array_equal(MlxRunner(file, compiled=True).run(ONES)["y"], MlxRunner(file).run(ONES)["y"])


@pytest.mark.parametrize("content", [b"", b"not a function", bytes(400)])
def test_a_broken_file_is_an_error(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BundleError, match="model.mlxfn: not a function that voxc has exported"):
        MlxRunner(file)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="absent.mlxfn"):
        MlxRunner(tmp_path / "absent.mlxfn")


def test_a_function_of_someone_else_is_an_error(file: Path) -> None:
    content = file.read_bytes()
    told = json.dumps({"inputs": ["x0"], "outputs": ["y"]}).encode()
    file.write_bytes(content.replace(told, told.replace(b"outputs", b"results")))
    with pytest.raises(BundleError, match="does not tell its inputs and outputs"):
        MlxRunner(file)


def test_weights_must_be_there_and_fit(file: Path) -> None:
    weights = file.with_name(emitter.WEIGHTS)
    ((name, array),) = load_file(weights).items()
    save_file({name: array.astype(np.float16)}, weights)
    with pytest.raises(BundleError, match=rf"model.safetensors: has no {name} of \[{FRAMES}, 5\] float32"):
        MlxRunner(file)
    weights.write_bytes(b"\xff" * 64)
    with pytest.raises(BundleError, match="model.safetensors: not weights that MLX reads"):
        MlxRunner(file)
    weights.unlink()
    with pytest.raises(BundleError, match="model.safetensors: is missing"):
        MlxRunner(file)


def test_source_of_a_bundle_is_never_run(file: Path) -> None:
    file.with_name(emitter.SOURCE).write_text("raise SystemExit(1)")
    MlxRunner(file).run(ONES)


def test_inputs_that_do_not_fit_are_an_error(file: Path) -> None:
    runner = MlxRunner(file)
    with pytest.raises(TensorError, match="takes the inputs x0, not x1"):
        runner.run({"x1": ONES["x0"]})
    with pytest.raises(TensorError, match=r"x0 is \[1, 11\] float32, not \[1, 12\] float32"):
        runner.run({"x0": ONES["x0"][:, 1:]})
    with pytest.raises(TensorError, match=r"x0 is \[1, 12\] float64"):
        runner.run({"x0": ONES["x0"].astype(np.float64)})


def test_results_are_the_callers_own(file: Path) -> None:
    runner = MlxRunner(file)
    first = runner.run(ONES)["y"]
    runner.run({"x0": np.zeros((1, FRAMES), np.float32)})
    assert (first == 2 * FRAMES).all()
    first += 1
