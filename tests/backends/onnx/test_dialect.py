"""Readers that lack what ONNX has get the same numbers by other means."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.backends.onnx.test_quantization import BLOCKS, largest_step, quantized
from tests.passes.harness import component_of, tensors_for
from voxc.backends.onnx import emitter
from voxc.backends.onnx.dialect import PLAIN, Dialect
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.passes.simplify.clean_up import CleanUp

POOR = Dialect(
    lacks=frozenset({"Reciprocal", "LayerNormalization", "Gelu"}),
    smallest=False,
    integer_clip=False,
    integer_weights=False,
)


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(8)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        least, places = x.topk(3, largest=False)
        within = (x * 3).to(torch.int64).clamp(-1, 2).float() + (x * 3).to(torch.int64).clamp(min=0).float()
        return F.gelu(self.norm(x)) + torch.reciprocal(x.abs() + 1) + least.sum() + x.gather(2, places).sum() + within


def operators(program: Program, dialect: Dialect, folder: Path, opset: int = 20) -> tuple[Counter[str], Path]:
    (file,) = emitter.write(program, opset, folder / "test.onnx", dialect).files
    return Counter(node.op_type for node in onnx.load(file).graph.node), file


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("dialect", [PLAIN, POOR], ids=["plain", "poor"])
def test_what_is_lacking_is_spelled_out(tmp_path: Path, target: Target, dialect: Dialect, opset: int) -> None:
    """Also where the simplifier would put it together again."""
    component = component_of(Everything(), (1, 5, 8))
    program = CleanUp()(export(component, {"T": 12}, dynamic=False), target).program
    found, file = operators(program, dialect, tmp_path, opset)
    there = {"Gelu": 20, "LayerNormalization": 17, "Reciprocal": 6}
    assert {name: found[name] > 0 for name in there} == {
        name: dialect is PLAIN and opset >= first for name, first in there.items()
    }
    assert (found["Clip"], found["Max"], found["Min"]) == ((2, 0, 0) if dialect is PLAIN else (0, 2, 1))
    (topk,) = (node for node in onnx.load(file).graph.node if node.op_type == "TopK")
    (largest,) = (each.i for each in topk.attribute if each.name == "largest")
    assert largest == (dialect is POOR)
    expected = component.run(tensors_for(component))["y"]
    result = OnnxRuntimeRunner(file, 1).run({name: each.numpy() for name, each in tensors_for(component).items()})
    torch.testing.assert_close(torch.from_numpy(result["y"]), expected, atol=1e-5, rtol=1e-5)


def test_weights_as_floats_that_are_rounded(tmp_path: Path, target: Target) -> None:
    """The same numbers as from weights stored as integers, within a step of the activations."""
    program = quantized(BLOCKS, target, "int8")
    (tmp_path / "integers").mkdir()
    plain, stored = operators(program, PLAIN, tmp_path / "integers")
    poor, rounded = operators(program, POOR, tmp_path)
    assert poor["QuantizeLinear"] == plain["QuantizeLinear"] + 5
    assert poor["DequantizeLinear"] == plain["DequantizeLinear"] - 5, "of the biases"
    kinds = Counter(each.data_type for each in onnx.load(rounded).graph.initializer if np.prod(each.dims) > 32)
    assert set(kinds) == {onnx.TensorProto.FLOAT}
    inputs = {name: tensor.numpy() for name, tensor in tensors_for(BLOCKS).items()}
    first, second = (OnnxRuntimeRunner(file, 1).run(inputs)["y"] for file in (stored, rounded))
    assert np.abs(first - second).max() <= largest_step(program)


def test_every_node_leads_back_to_its_call(tmp_path: Path, target: Target) -> None:
    component = component_of(Everything(), (1, 5, 8))
    program = CleanUp()(export(component, {"T": 12}, dynamic=False), target).program
    emitted = emitter.write(program, 13, tmp_path / "test.onnx", POOR)
    names = [node.name for node in onnx.load(emitted.files[0]).graph.node]
    assert set(names) <= set(emitted.origins)
    assert {emitted.origins[name].target for name in names} >= {
        torch.ops.aten.gelu.default,
        torch.ops.aten.topk.default,
    }
