from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import component_of, tensors_for
from tests.passes.precision.test_insert_quantization import ranges_of
from voxc.backends.onnx.emitter import emit
from voxc.compiler.core.component import Component
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.passes.precision.insert_quantization import InsertQuantization
from voxc.passes.precision.rules import candidates, complete
from voxc.passes.simplify.clean_up import CleanUp

voxc = torch.ops.voxc
WIDTH, LENGTH = 16, 64


class Blocks(nn.Module):
    """Two residual blocks between convolutions; the last gives floats."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pre, self.post = nn.Conv1d(4, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, 1, 1)
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, padding=2, dilation=2) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        for first, second in zip(self.convs[::2], self.convs[1::2], strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, 0.1)), 0.1))
        return torch.tanh(self.post(F.leaky_relu(x, 0.1)))


BLOCKS = component_of(Blocks(), (1, 4, LENGTH))


class ChannelsLast(nn.Module):
    def __init__(self, transposed: bool, groups: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.transposed, self.groups = transposed, groups
        self.weight = nn.Parameter(torch.randn(6, 3, 4 // groups))
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        options = [2], [1], [1], self.transposed, [int(self.transposed)], self.groups
        return voxc.conv_channels_last(x, self.weight, self.bias, *options)


def quantized(component: Component, target: Target, precision: Precision) -> Program:
    program = CleanUp()(export(component, {"T": 12}, dynamic=False), target).program
    names = candidates(program)
    nodes = complete(program, names) if precision == "int8" else dict.fromkeys(names, precision)
    plan = program.plan.model_copy(update={"nodes": nodes, "ranges": ranges_of(program, component)})
    return InsertQuantization()(replace(program, plan=plan), target).program


def weights_in(file: Path) -> Counter[str]:
    """How many tensors of more than one element the file has of each type."""
    tensors = onnx.load(file).graph.initializer
    return Counter(onnx.TensorProto.DataType.Name(each.data_type) for each in tensors if np.prod(each.dims) > WIDTH)


def optimized(file: Path, directory: Path) -> Counter[str]:
    """The operators that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(directory / "optimized.onnx")
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(directory / "optimized.onnx").graph.node)


def run(file: Path, component: Component) -> Tensor:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs = {name: tensor.numpy() for name, tensor in tensors_for(component).items()}
    return torch.from_numpy(session.run(["y"], inputs)[0])


@pytest.mark.parametrize("opset", [13, 20, 21])
def test_integer_kernels_from_end_to_end(target: Target, tmp_path: Path, opset: int) -> None:
    (file,) = emit(quantized(BLOCKS, target, "int8"), opset, tmp_path / "y.onnx")
    found = optimized(file, tmp_path)
    assert found["QLinearConv"] == 5
    assert found["Conv"] + found["FusedConv"] == 1, "the last one"
    assert found["QLinearLeakyRelu"] == 4
    assert found["QLinearAdd"] == 1, "the other one gives floats"
    assert found["QuantizeLinear"] == 1, "of the input"


def test_weights_are_integers_in_the_file(target: Target, tmp_path: Path) -> None:
    (file,) = emit(quantized(BLOCKS, target, "int8"), 20, tmp_path / "y.onnx")
    assert weights_in(file) == {"INT8": 5}
    (file,) = emit(quantized(BLOCKS, target, "w8"), 20, tmp_path / "y.onnx")
    assert weights_in(file) == {"INT8": 5}
    (file,) = emit(quantized(BLOCKS, target, "fp16"), 20, tmp_path / "y.onnx")
    assert weights_in(file) == {"FLOAT16": 5}


@pytest.mark.parametrize("precision", ["int8", "w8", "fp16"])
@pytest.mark.parametrize("kind", ["int8", "uint8"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_numbers_are_those_of_pytorch(
    target: Target, tmp_path: Path, precision: Precision, kind: str, symmetric: bool
) -> None:
    assert target.scheme is not None
    scheme = target.scheme.model_copy(update={"activations": kind, "symmetric": symmetric})
    program = quantized(BLOCKS, target.model_copy(update={"scheme": scheme}), precision)
    (file,) = emit(program, 20, tmp_path / "y.onnx")
    difference = (run(file, BLOCKS) - program.run(tensors_for(BLOCKS))["y"]).abs().max().item()
    assert difference <= (largest_step(program) if precision == "int8" else 1e-5)


def largest_step(program: Program) -> float:
    """Before the last convolution, whose weights are less than one."""
    return max(node.args[1] for node in program.graph.nodes if node.target is voxc.quantize.default)


@pytest.mark.parametrize(("transposed", "groups"), [(False, 1), (False, 2), (True, 1)])
def test_convolutions_with_channels_last(target: Target, tmp_path: Path, transposed: bool, groups: int) -> None:
    component = component_of(ChannelsLast(transposed, groups), (1, 9, 4))
    (file,) = emit(export(component, {"T": 12}, dynamic=False), 20, tmp_path / "y.onnx")
    expected = component.run(tensors_for(component))["y"]
    torch.testing.assert_close(run(file, component), expected, atol=1e-5, rtol=1e-5)
