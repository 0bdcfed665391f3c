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
from voxc.passes.layout.ane_layout import AneLayout
from voxc.passes.pipeline import pipeline
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
LAYER_NORM = torch.ops.voxc.layer_norm_channels.default


@pytest.fixture(scope="module")
def ane(target: Target) -> Target:
    return target.model_copy(update={"layout": "ane", "work_items": None})


def check(module: nn.Module, ane: Target, *shapes: tuple[int, ...], permutes: int) -> PassResult:
    """The pass fires, so many permutes are left, and every convolution has signals of rank 4."""
    result = check_pass(AneLayout(), component_of(module, *shapes), ane, fires=True, first=(CleanUp(),))
    assert calls(result.program, aten.permute.default) == permutes
    for node in result.program.graph.nodes:
        if node.target is aten.convolution.default:
            assert [source.meta["val"].dim() for source in node.all_input_nodes[:2]] == [4, 4]
    return result


class Chain(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Through(nn.Module):
    """An operation between two layers."""

    def __init__(self, operation: object, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.operation = operation
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.operation(self.first(x)))  # type: ignore[operator]


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
def test_one_dimension(ane: Target, conv: nn.Module) -> None:
    program = check(Chain(conv), ane, (2, 4, 11), permutes=0).program
    (node,) = (node for node in program.graph.nodes if node.target is aten.convolution.default)
    assert node.meta["val"].shape[:3] == (2, 6, 1)


def test_two_dimensions_stay(ane: Target) -> None:
    check_pass(AneLayout(), component_of(Chain(nn.Conv2d(4, 6, 3)), (1, 4, 9, 7)), ane, fires=False)


OPERATIONS = {
    "activation": lambda x: F.leaky_relu(torch.tanh(x) * 0.5, 0.1),
    "split": lambda x: torch.cat(torch.split(x, [1, 3], 1)[::-1], 1),
    "time": lambda x: torch.cat([x[..., 1:], torch.flip(x, [2])], -1),
    "pad": lambda x: F.pad(x, (2, 1), value=0.5),
    "softmax over time": lambda x: torch.softmax(x, 2),
    "softmax over channels": lambda x: torch.softmax(x, 1),
    "linear": lambda x: F.linear(x.transpose(1, 2), torch.ones(4, 4), torch.ones(4)).transpose(1, 2),
    "layer norm": lambda x: F.layer_norm(x.transpose(1, 2), [4]).transpose(1, 2),
    "group norm": lambda x: F.group_norm(x, 2, torch.arange(4.0), torch.ones(4)),
    "mean": lambda x: x - x.mean(2, keepdim=True) + x.mean(1, keepdim=True),
    "where": lambda x: torch.where(x > 0, x, torch.zeros(1, 4, 1)),
}  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_lies_between_follows(ane: Target, operation: object) -> None:
    check(Through(operation, nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3)), ane, (1, 4, 11), permutes=0)


@pytest.mark.parametrize("shape", [(9, 4), (1, 9, 4)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_and_norms(ane: Target, shape: tuple[int, ...], bias: bool) -> None:
    """Only what comes in and what goes out has its channels last."""
    layers = Chain(nn.Linear(4, 6, bias=bias), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 3, bias=bias))
    program = check(layers, ane, shape, permutes=2).program
    assert calls(program, aten.convolution.default) == 2
    assert calls(program, LAYER_NORM) == 1
    assert calls(program, aten.addmm.default) + calls(program, aten.mm.default) == 0


def test_a_constant_on_the_left(ane: Target) -> None:
    weight, bias = torch.randn(5, 4), torch.randn(5, 1)

    class Left(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.addmm(bias, weight, x)

    check(Left(), ane, (4, 9), permutes=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.addmm(torch.ones(9, 5), x, torch.ones(4, 5)),
        lambda x: torch.addmm(torch.ones(5), x, torch.ones(4, 5), beta=2),
        lambda x: x @ x.t(),
        lambda x: F.layer_norm(x, [9, 4]),
    ],
    ids=["a bias for each element", "scaled", "no weight", "a norm over two axes"],
)
def test_other_products_and_norms_stay(ane: Target, function: object) -> None:
    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)  # type: ignore[operator,no-any-return]

    check_pass(AneLayout(), component_of(Other(), (9, 4)), ane, fires=False)


def test_other_targets_keep_their_convolutions(target: Target) -> None:
    check_pass(AneLayout(), component_of(Chain(nn.Conv1d(2, 2, 3)), (1, 2, 9)), target, fires=False)


def test_a_voice(ane: Target, synthesizer: Component) -> None:
    """In a whole synthesizer the content, the melody's table and each layer's keys are transposed, no more."""
    program = export(synthesizer, {"T": FRAMES}, dynamic=False)
    for each in pipeline(ane):
        program = each(program, ane).program
    layers = sum(node.target is torch.ops.aten._softmax.default for node in program.graph.nodes) // 2
    assert calls(program, aten.permute.default) == 2 + layers
    assert calls(program, aten.bmm.default) == 0
    for node in program.graph.nodes:
        if node.target in (aten.convolution.default, LAYER_NORM):
            batch, _, height, _ = node.meta["val"].shape
            assert (batch, height) == (1, 1)
    tensors = {name: torch.from_numpy(array) for name, array in synthesizer.reference_inputs({"T": FRAMES}).items()}
    torch.testing.assert_close(program.run(tensors), synthesizer.run(tensors), atol=2e-5, rtol=0)
