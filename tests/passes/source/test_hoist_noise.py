from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import check_pass, component_of, program_of
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.target import Target
from voxc.passes.source.hoist_noise import HoistNoise


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) * torch.randn(2, 1)


class Dropped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand_like(x)


class Quiet(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


def test_draws_become_inputs_in_order(target: Target) -> None:
    component = component_of(Noisy(), (2, 3), noise=((2, 3), (2, 1)))
    program = check_pass(HoistNoise(), component, target, fires=True).program
    assert [spec.name for spec in program.inputs] == ["x0", "noise0", "noise1"]
    assert program.noise == ()
    assert list(program.exported.graph_signature.user_inputs) == ["x", "noise0", "noise1"]


def test_the_result_is_a_callable_exported_program(target: Target) -> None:
    program = HoistNoise()(program_of(Noisy(), (2, 3), noise=((2, 3), (2, 1))), target).program
    x, a, b = torch.ones(2, 3), torch.full((2, 3), 2.0), torch.full((2, 1), 3.0)
    torch.testing.assert_close(program.exported.module()(x, a, b), x + a * b)


def test_a_quiet_network_is_left_alone(target: Target) -> None:
    check_pass(HoistNoise(), component_of(Quiet(), (2, 3)), target, fires=False)


def test_undeclared_noise_is_an_error(target: Target) -> None:
    with pytest.raises(PassError, match="draws noise 2 times and declares 0"):
        HoistNoise()(program_of(Noisy(), (2, 3)), target)


def test_noise_that_is_not_gaussian_is_an_error(target: Target) -> None:
    with pytest.raises(PassError, match="rand_like"):
        HoistNoise()(program_of(Dropped(), (2, 3)), target)
