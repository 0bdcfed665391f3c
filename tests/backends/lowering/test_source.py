from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from tests.passes.harness import program_of
from voxc.backends.lowering.source import place, source_line


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.linear(x))


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(self.inner(x))


def node_of(target: object) -> fx.Node:
    (node,) = (node for node in program_of(Outer(), (2, 3)).graph.nodes if node.target is target)
    return node


def line_of(forward: object) -> int:
    """The first line below the head of a method."""
    return forward.__code__.co_firstlineno + 1  # type: ignore[attr-defined]


def test_a_place_has_module_node_and_line() -> None:
    expected = f"aten.tanh.default in inner (node tanh, test_source.py:{line_of(Inner.forward)})"
    assert place(node_of(torch.ops.aten.tanh.default), "voice") == expected


def test_what_the_network_itself_calls_is_in_the_component() -> None:
    expected = f"aten.exp.default in voice (node exp, test_source.py:{line_of(Outer.forward)})"
    assert place(node_of(torch.ops.aten.exp.default), "voice") == expected


def test_lines_of_pytorch_are_not_of_the_user() -> None:
    assert source_line(node_of(torch.ops.aten.addmm.default)) == f"test_source.py:{line_of(Inner.forward)}"


def test_a_node_of_a_pass_has_no_line() -> None:
    node = node_of(torch.ops.aten.exp.default)
    node.meta.pop("stack_trace")
    assert place(node, "voice") == "aten.exp.default in voice (node exp)"
