from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, calls, check_pass, component_of
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.passes.attention.fold_heads import FoldHeads
from voxc.passes.base import Pass
from voxc.passes.layout.channels_last import ChannelsLast
from voxc.passes.pipeline import pipeline
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
FIRST: tuple[Pass, ...] = (CleanUp(), ChannelsLast())


class Attention(nn.Module):
    """Self-attention on [B, T, C] with linear projections, or on [B, C, T] with convolutions as VITS has it."""

    def __init__(self, kind: type[nn.Module], heads: int = 2, kernel: int = 1, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before = nn.Conv1d(8, 8, 3, padding=1)
        self.heads, self.channels_first = heads, kind is nn.Conv1d
        options = {"kernel_size": kernel, "padding": kernel // 2} if self.channels_first else {}
        self.q, self.k, self.v, self.o = (kind(8, 8, bias=bias, **options) for _ in range(4))  # type: ignore[call-arg]

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolved(x)
        query, key, value = (self.split(each(x)) for each in (self.q, self.k, self.v))
        scores = query / math.sqrt(query.shape[-1]) @ key.transpose(-1, -2)
        attended = torch.softmax(scores, -1) @ value
        if self.channels_first:
            return self.o(attended.transpose(2, 3).reshape(x.shape))
        return self.o(attended.transpose(1, 2).reshape(x.shape))

    def convolved(self, x: Tensor) -> Tensor:
        return self.before(x) if self.channels_first else self.before(x.transpose(1, 2)).transpose(1, 2).contiguous()

    def split(self, y: Tensor) -> Tensor:
        batch = y.shape[0]
        if self.channels_first:
            return y.view(batch, self.heads, -1, y.shape[2]).transpose(2, 3)
        return y.view(batch, y.shape[1], self.heads, -1).transpose(1, 2)


class Shared(Attention):
    """The values are added to the result as they are."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolved(x)
        value = self.v(x)
        scores = self.split(self.q(x)) @ self.split(self.k(x)).transpose(-1, -2)
        return value + self.o((torch.softmax(scores, -1) @ self.split(value)).transpose(1, 2).reshape(x.shape))


@pytest.fixture
def batching(target: Target) -> Target:
    return target.model_copy(update={"layout": "channels_last", "batched_weights": True})


def permutes(program: Program) -> list[list[int]]:
    return [list(node.args[1]) for node in program.graph.nodes if node.target is aten.permute.default]


def attention(kind: type[nn.Module], **options: int) -> Component:
    return component_of(Attention(kind, **options), (1, 8, "T") if kind is nn.Conv1d else (1, "T", 8))


@pytest.mark.parametrize("bias", [True, False])
def test_heads_of_linear_projections(batching: Target, bias: bool) -> None:
    """Only the keys' transposition is left."""
    result = check_pass(FoldHeads(), attention(nn.Linear, bias=bias), batching, fires=True, first=FIRST)
    assert permutes(result.program) == [[0, 2, 1]]
    assert calls(result.program, aten.addmm.default) == calls(result.program, aten.mm.default) == 0
    assert result.notes == ("3 projections give heads", "1 projections take heads")


@pytest.mark.parametrize("bias", [True, False])
def test_heads_of_convolutions(batching: Target, bias: bool) -> None:
    """Beside the keys' transposition there are those of the input and the output, which are channels first."""
    result = check_pass(FoldHeads(), attention(nn.Conv1d, bias=bias), batching, fires=True, first=FIRST)
    assert len(permutes(result.program)) == 3
    assert calls(result.program, torch.ops.voxc.conv_channels_last.default) == 1


@pytest.mark.parametrize(
    "component",
    [attention(nn.Conv1d, kernel=3), attention(nn.Linear, heads=1)],
    ids=["kernels of three taps", "one head"],
)
def test_what_is_no_projection_into_heads_stays(batching: Target, component: Component) -> None:
    check_pass(FoldHeads(), component, batching, fires=False, first=FIRST)


def test_a_projection_that_something_else_uses_stays(batching: Target) -> None:
    component = component_of(Shared(nn.Linear), (1, "T", 8))
    result = check_pass(FoldHeads(), component, batching, fires=True, first=FIRST)
    assert result.notes[0] == "2 projections give heads"
    assert result.notes[-1] == "v: heads stay beside the weights: something else uses it too"


def test_other_targets_are_left_alone(target: Target) -> None:
    check_pass(FoldHeads(), attention(nn.Linear), target, fires=False, first=(CleanUp(),))


def test_a_voice_keeps_one_transposition_for_each_layer(synthesizer: Component, batching: Target) -> None:
    program = export(synthesizer, {"T": FRAMES}, dynamic=False)
    for each in pipeline(batching):
        program = each(program, batching).program
    assert sorted(permutes(program)) == [[0, 1, 3, 2], [0, 2, 1]]
