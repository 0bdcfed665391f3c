from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.backends.tflite.harness import check, integers, voxc
from tests.passes.harness import FRAMES, Function, program_of
from voxc.backends.tflite import emitter
from voxc.backends.tflite.runner import TfliteRunner
from voxc.compiler.core.errors import BundleError, TensorError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    emitter.emit(program_of(Function(lambda x: x * 2), (1, "T")), tmp_path / "test.tflite")
    return tmp_path / "test.tflite"


@pytest.mark.parametrize("content", [b"", b"not a flatbuffer", b"\x1c\x00\x00\x00TFL3" + bytes(40)])
def test_a_broken_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content)
    with pytest.raises(BundleError, match="broken.tflite: TFLite refuses it"):
        TfliteRunner(broken, 1)


def test_a_file_cut_short_is_an_error(file: Path) -> None:
    content = file.read_bytes()
    for size in range(8, len(content) - 8, 97):
        file.write_bytes(content[:size])
        with pytest.raises(BundleError, match="TFLite refuses it"):
            TfliteRunner(file, 1)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="TFLite refuses it"):
        TfliteRunner(tmp_path / "absent.tflite", 1)


def test_inputs_that_do_not_fit_are_an_error(file: Path) -> None:
    runner = TfliteRunner(file, 1)
    with pytest.raises(TensorError, match="takes the inputs x0, not x1"):
        runner.run({"x1": np.zeros((1, FRAMES), np.float32)})
    with pytest.raises(TensorError, match="could not run these inputs"):
        runner.run({"x0": np.zeros((1, FRAMES - 1), np.float32)})
    with pytest.raises(TensorError, match="could not run these inputs"):
        runner.run({"x0": np.zeros((1, FRAMES), np.float64)})


def test_results_are_the_callers_own(file: Path) -> None:
    runner = TfliteRunner(file, 1)
    first = runner.run({"x0": np.ones((1, FRAMES), np.float32)})["y"]
    runner.run({"x0": np.zeros((1, FRAMES), np.float32)})
    assert (first == 2).all()


def test_the_runtime_says_nothing(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    TfliteRunner(file, 2).run({"x0": np.zeros((1, FRAMES), np.float32)})
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_all_goes_to_xnnpack(tmp_path: Path) -> None:
    """A block of the generator, in real numbers and in integers, is one call of the delegate."""
    weight = torch.randn(8, 1, 3, 8)

    def block(x: Tensor) -> Tensor:
        y = F.leaky_relu(x, 0.1)
        y = voxc.conv_channels_last(y, weight, None, [1, 1], [0, 1], [1, 1], False, [0, 0], 1)
        return torch.tanh(integers(y) + integers(x)) * 0.5

    check(tmp_path, block, (1, 1, "T", 8), tolerance=0.03)
    details = TfliteRunner(tmp_path / "test.tflite", 1).interpreter._get_ops_details()
    whole = [each for each in details if each["op_name"] == "DELEGATE"]
    assert len(whole) == 1
    (result,) = details[-2]["outputs"]
    assert list(whole[0]["outputs"]) == [result]
