from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.passes.simplify.share_equal_nodes import ShareEqualNodes

aten = torch.ops.aten


class Blocks(nn.Module):
    """Parallel residual blocks, each of which activates the same signal and scales what it got."""

    def __init__(self, *slopes: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.slopes = slopes
        self.convs = nn.ModuleList(nn.Conv1d(2, 2, 3, padding=1) for _ in slopes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [conv(F.leaky_relu(x, slope) * 0.5) for conv, slope in zip(self.convs, self.slopes, strict=True)]
        )


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.randn_like(x) - torch.randn_like(x)


class NearlyEqual(nn.Module):
    """Calls that differ in an operand, its place, an option, or the type of a number."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        parts = (x - y, y - x, x + y, torch.sub(x, y, alpha=2), torch.cumsum(x, 0), torch.cumsum(x, 1), x * 2, y * 2)
        kinds = (torch.full_like(x, 1, dtype=torch.int64), torch.full_like(x, True, dtype=torch.bool))
        return torch.stack([*parts, *(kind.to(torch.float32) for kind in kinds)])


def test_equal_activations_and_what_follows_them_are_shared(target: Target) -> None:
    result = check_pass(ShareEqualNodes(), component_of(Blocks(0.1, 0.1, 0.1), (1, 2, 9)), target, fires=True)
    assert calls(result.program, aten.leaky_relu.default) == calls(result.program, aten.mul.Tensor) == 1
    assert calls(result.program, aten.convolution.default) == 3
    assert "2 leaky_relu" in result.notes[0]


def test_a_default_spelled_out_is_equal(target: Target) -> None:
    component = component_of(Blocks(0.01, 0.1), (1, 2, 9))  # 0.01 is the operator's default
    program = check_pass(ShareEqualNodes(), component, target, fires=False).program
    assert calls(program, aten.leaky_relu.default) == 2


def test_random_draws_are_never_shared(target: Target) -> None:
    component = component_of(Noisy(), (2, 3), noise=((2, 3), (2, 3)))
    program = check_pass(ShareEqualNodes(), component, target, fires=False).program
    assert calls(program, aten.randn_like.default) == 2


def test_calls_that_differ_stay(target: Target) -> None:
    check_pass(ShareEqualNodes(), component_of(NearlyEqual(), (2, 3), (2, 3)), target, fires=False)
