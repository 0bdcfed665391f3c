from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.component import Component
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass
from voxc.passes.layout.planar_convolutions import PlanarConvolutions
from voxc.passes.pipeline import pipeline
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
FIRST: tuple[Pass, ...] = (CleanUp(),)


class Chain(nn.Module):
    """Convolutions of every kind between elementwise operators and a split."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pre = nn.Conv1d(3, 4, 5, padding=2)
        self.dilated = nn.Conv1d(4, 4, 3, padding=3, dilation=3, groups=2)
        self.up = nn.ConvTranspose1d(4, 4, 6, stride=2, padding=2)
        self.strided = nn.Conv1d(2, 3, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pre(x)
        first, second = self.up(y + F.leaky_relu(self.dilated(y), 0.1)).split([2, 2], 1)
        return torch.tanh(self.strided(first * torch.sigmoid(second)))


class Trimmed(nn.Module):
    """Half as many samples, and a convolution that gives one too many, as HuBERT's of positions does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shorter, self.longer = nn.Conv1d(3, 4, 2, stride=2), nn.Conv1d(4, 3, 4, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.shorter(x)
        return F.gelu(self.longer(y)[:, :, : y.shape[2]])


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@pytest.fixture(scope="module")
def planar(target: Target) -> Target:
    return target.model_copy(update={"layout": "planar"})


def test_lengths_that_are_not_known(planar: Target) -> None:
    """What is cut at a length that is computed leaves nothing of the old graph."""
    component = component_of(Trimmed(), (1, 3, "2*T"))
    result = check_pass(PlanarConvolutions(), component, planar, fires=True, first=FIRST, dynamic=True)
    nodes = [node for node in result.program.graph.nodes if node.target is aten.convolution.default]
    assert [node.meta["val"].dim() for node in nodes] == [4, 4]


def test_all_convolutions_and_what_is_between(planar: Target) -> None:
    result = check_pass(PlanarConvolutions(), component_of(Chain(), (1, 3, 12)), planar, fires=True, first=FIRST)
    nodes = [node for node in result.program.graph.nodes if node.target is aten.convolution.default]
    assert len(nodes) == 4
    assert {node.meta["val"].dim() for node in nodes} == {4}
    changes = [node for node in result.program.graph.nodes if node.target in (aten.view.default, aten.squeeze.dims)]
    assert len(changes) + calls(result.program, aten.unsqueeze.default) <= 2, "one in, one out"
    assert calls(result.program, aten.permute.default) == 0
    assert result.notes == ("4 convolutions on [B, C, 1, L]",)


def test_networks_without_convolutions_stay(planar: Target) -> None:
    check_pass(PlanarConvolutions(), component_of(Linear(), (1, 5, 4)), planar, fires=False, first=FIRST)


def test_other_targets_stay(target: Target) -> None:
    check_pass(PlanarConvolutions(), component_of(Chain(), (1, 3, 12)), target, fires=False, first=FIRST)


def test_a_whole_voice(planar: Target, synthesizer: Component) -> None:
    before: tuple[Pass, ...] = tuple(each for each in pipeline(planar) if each.name != "planar_convolutions")
    result = check_pass(PlanarConvolutions(), synthesizer, planar, fires=True, first=before)
    ranks = {node.meta["val"].dim() for node in result.program.graph.nodes if node.target is aten.convolution.default}
    assert ranks == {4}
