"""The loop over a graph, by a builder whose format is lines of text."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from tests.passes.harness import program_of
from voxc.backends.lowering.builder import Builder
from voxc.backends.lowering.table import PASSED_ON, Lowerings, unsupported
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.tensor import TensorSpec

aten = torch.ops.aten


class Text(Builder[str]):
    def input(self, node: fx.Node, spec: TensorSpec) -> str:
        return spec.name

    def weight(self, name: str, tensor: Tensor) -> str:
        return f"{name}{list(tensor.shape)}"

    def output(self, node: fx.Node, spec: TensorSpec) -> str:
        return self.values[node]


def multiply(build: Text, node: fx.Node, left: fx.Node, right: fx.Node) -> str:
    return f"{build.values[left]} * {build.values[right]}"


def softmax(build: Text, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> str:
    raise build.refuse("no rows")


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.factor).clone()


class Shares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, -1)


LOWERINGS: Lowerings = {**PASSED_ON, aten.mul.Tensor: multiply, aten._softmax.default: softmax}


def lowered(network: nn.Module, lowerings: Lowerings) -> Text:
    build = Text(program_of(network, (2, 3)), "Text")
    build.lower_graph(lowerings)
    return build


def test_a_graph_becomes_inputs_weights_calls_and_outputs() -> None:
    build = lowered(Scaled(), LOWERINGS)
    (name,) = build.inputs
    assert build.inputs == {name: name}
    assert build.outputs == {"y": f"{name} * factor[3]"}


def test_a_call_without_a_lowering_is_refused_with_its_place() -> None:
    program = program_of(Scaled(), (2, 3))
    assert [node.target for node in unsupported(program, PASSED_ON)] == [aten.mul.Tensor]
    message = r"Text: aten.mul.Tensor in test \(node mul, test_builder.py:\d+\): there is no lowering"
    with pytest.raises(UnsupportedError, match=message):
        lowered(Scaled(), PASSED_ON)


def test_a_lowering_may_refuse_its_arguments() -> None:
    with pytest.raises(UnsupportedError, match=r"Text: aten._softmax.default in test \(node _softmax, .*\): no rows"):
        lowered(Shares(), LOWERINGS)
