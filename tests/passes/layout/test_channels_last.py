from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import FRAMES, calls, check_pass, component_of
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.passes.base import PassResult
from voxc.passes.layout.channels_last import ChannelsLast
from voxc.passes.pipeline import pipeline
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
CHANNELS_LAST = torch.ops.voxc.conv_channels_last.default


@pytest.fixture(scope="module")
def last(target: Target) -> Target:
    return target.model_copy(update={"layout": "channels_last", "work_items": None})


def check(module: nn.Module, last: Target, *shapes: tuple[int, ...], permutes: int) -> PassResult:
    """The pass fires, and so many permutes are left."""
    result = check_pass(ChannelsLast(), component_of(module, *shapes), last, fires=True, first=(CleanUp(),))
    assert calls(result.program, aten.convolution.default) == 0
    assert calls(result.program, aten.permute.default) == permutes
    return result


class Alone(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.conv(x))


class Through(nn.Module):
    """A convolution on both sides of an operation."""

    def __init__(self, operation: object, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.operation = operation
        self.first, self.second = first, second

    def forward(self, *tensors: Tensor) -> Tensor:
        x, *others = tensors
        return self.second(self.operation(self.first(x), *others))  # type: ignore[operator]


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(4, 6, 3, padding=2, dilation=2),
        nn.Conv1d(4, 6, 5, stride=3, groups=2, bias=False),
        nn.ConvTranspose1d(4, 6, 5, stride=3, padding=1, output_padding=1),
        nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2, dilation=2),
    ],
    ids=["dilated", "strided and grouped", "transposed", "transposed and grouped"],
)
def test_one_dimension(last: Target, conv: nn.Module) -> None:
    program = check(Alone(conv), last, (2, 4, 11), permutes=2).program
    (node,) = (node for node in program.graph.nodes if node.target is CHANNELS_LAST)
    assert node.meta["val"].dim() == 4
    assert node.meta["val"].shape[1] == 1


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 6, (3, 2), padding=(1, 0), stride=(1, 2), groups=2), nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1))],
    ids=["forward", "transposed"],
)
def test_two_dimensions(last: Target, conv: nn.Module) -> None:
    check(Alone(conv), last, (2, 4, 9, 7), permutes=2)


def test_one_channel_needs_no_permute(last: Target) -> None:
    check(Through(torch.tanh, nn.Conv1d(1, 4, 3), nn.Conv1d(4, 1, 3)), last, (1, 1, 11), permutes=0)


OPERATIONS = {
    "activation": lambda x: F.leaky_relu(torch.tanh(x) * 0.5, 0.1),
    "residual": lambda x: x + torch.sigmoid(x),
    "slices": lambda x: torch.cat([x[:, 2:], x[:, :1, :].expand(-1, 1, -1) * 2, x[:, 1:2]], 1),
    "time": lambda x: torch.cat([x[..., 1:], torch.flip(x, [2])], -1),
    "split": lambda x: torch.cat(torch.split(x, [1, 3], 1)[::-1], 1),
    "pad": lambda x: F.pad(x, (2, 1), value=0.5),
    "select": lambda x: x * x.select(1, 3).unsqueeze(1) + x.unsqueeze(0).select(0, 0),
    "mean": lambda x: x - x.mean(2, keepdim=True) + x.mean(1, keepdim=True),
    "cumulative sum": lambda x: torch.cumsum(x, 2),
    "softmax over channels": lambda x: torch.softmax(x, 1),
    "layer norm": lambda x: F.layer_norm(x.transpose(1, 2), [4]).transpose(1, 2),
    "linear": lambda x: F.linear(x.transpose(1, 2), torch.ones(4, 4)).transpose(1, 2),
    "instance norm": lambda x: F.group_norm(x, 4, torch.arange(4.0), torch.ones(4)),
    "axes of size one": lambda x: x.unsqueeze(1).unsqueeze(-1).squeeze(1).squeeze(-1),
    "where": lambda x: torch.where(x > 0, x, torch.zeros(1, 4, 1)),
}  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("batch", [1, 2])
def test_what_lies_between_follows(last: Target, operation: object, batch: int) -> None:
    check(Through(operation, nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3)), last, (batch, 4, 11), permutes=2)


@pytest.mark.parametrize(
    ("shape", "permutes"),
    [((1, 4, 1), 2), ((4, 1), 2), ((1, 9), 2), ((1, 1, 9), 2), ((4, 9), 3), ((3, 4, 9), 3)],
    ids=str,
)
def test_operands_that_broadcast(last: Target, shape: tuple[int, ...], permutes: int) -> None:
    """Nothing long moves for an operand that lacks channels or time; one that has both moves itself."""
    module = Through(torch.add, nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3))
    check(module, last, (3, 4, 11), shape, permutes=permutes)


def test_weights_move_once_and_for_all(last: Target) -> None:
    weight = torch.arange(36.0).reshape(4, 9)
    check(Through(lambda x: x * weight + weight, nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3)), last, (3, 4, 11), permutes=2)


def test_two_users_share_one_move(last: Target) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x)

    check(Two(), last, (1, 4, 11), permutes=2)


class Attention(nn.Module):
    """Self-attention of channels-first signals, as VITS has it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.o = (nn.Conv1d(8, 8, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, length = x.shape
        q, k, v = (conv(x).view(batch, 2, 4, length).transpose(2, 3) for conv in (self.q, self.k, self.v))
        attended = torch.softmax(q @ k.transpose(2, 3) / 2, -1) @ v
        return x + self.o(attended.transpose(2, 3).reshape(batch, channels, length))


def test_attention_moves_heads_and_nothing_else(last: Target) -> None:
    check(Attention(), last, (1, 8, 11), permutes=6)


def test_an_operator_without_a_rule_gets_its_own_order(last: Target) -> None:
    check(Through(lambda x: torch.sort(x, 2)[0], nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3)), last, (1, 4, 11), permutes=4)


def test_other_targets_keep_their_convolutions(target: Target) -> None:
    check_pass(ChannelsLast(), component_of(Alone(nn.Conv1d(2, 2, 3)), (1, 2, 9)), target, fires=False)


def test_a_graph_without_constant_convolutions_stays(last: Target) -> None:
    class Given(nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return F.conv1d(x, weight).permute(0, 2, 1).permute(0, 2, 1)

    check_pass(ChannelsLast(), component_of(Given(), (1, 2, 9), (2, 2, 3)), last, fires=False)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_voice(last: Target, synthesizer: Component, dynamic: bool) -> None:
    """Between the convolutions of a whole synthesizer, attention's heads and the prior's noise move, no more."""
    program = export(synthesizer, {"T": FRAMES}, dynamic)
    for each in pipeline(last):
        program = each(program, last).program
    layers = sum("softmax" in node.name for node in program.graph.nodes)
    assert calls(program, aten.convolution.default) == 0
    assert calls(program, aten.permute.default) == 4 * layers + 1
    tensors = {name: torch.from_numpy(array) for name, array in synthesizer.reference_inputs({"T": FRAMES}).items()}
    torch.testing.assert_close(program.run(tensors), synthesizer.run(tensors), atol=2e-5, rtol=0)
