from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, component_of
from voxc.backends.onnx import emitter
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.passes.simplify.clean_up import CleanUp


class Sums(nn.Module):
    """Kept and dropped axes, several of them, all of them, and a sum of truth values."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1, keepdim=True) + x.sum((0, 1)) + x.sum() + (x > 0).sum(2)[:, :, None].float()


class Means(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1, keepdim=True) * x.mean((0, 1)) + x.mean((0, 1, 2))


class Ranks(nn.Module):
    """The largest and the smallest, along the last axis and another, by value and by place."""

    def forward(self, x: Tensor) -> Tensor:
        values, places = x.topk(2)
        smallest, rows = x.topk(2, dim=1, largest=False)
        return x.gather(2, places).sum() * values.sum((1, 2)) + x.gather(1, rows) - 2 * smallest


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("network", [Sums, Means, Ranks])
def test_reductions_at_every_opset(
    tmp_path: Path, target: Target, network: type[nn.Module], opset: int, dynamic: bool
) -> None:
    component = component_of(network(), (1, 4, "T"))
    program = CleanUp()(export(component, {"T": FRAMES}, dynamic), target).program
    (file,) = emitter.emit(program, opset, tmp_path / "test.onnx")
    assert onnx.load(file).opset_import[0].version == opset
    runner = OnnxRuntimeRunner(file, 1)
    for frames in (FRAMES, FRAMES + 8) if dynamic else (FRAMES,):
        inputs = component.reference_inputs({"T": frames})
        expected = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"]
        torch.testing.assert_close(torch.from_numpy(runner.run(inputs)["y"]), expected, atol=1e-5, rtol=1e-5)
