from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.backends.coreml.harness import FULL, HALF, check, voxc
from voxc.compiler.core.plan import PrecisionPlan

SHAPE = (1, 8, "T")


def integers(x: Tensor, scale: float = 0.05, zero_point: int = 0) -> Tensor:
    """x through int8."""
    return voxc.dequantize(voxc.quantize(x, scale, zero_point, torch.int8), scale, zero_point)


class Layer(nn.Module):
    """A convolution with weights of int8, between real numbers or integers."""

    def __init__(self, activations: bool, up: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.activations, self.up = activations, up
        self.register_buffer("weight", torch.randint(-127, 128, (8, 6, 3) if up else (6, 8, 3), dtype=torch.int8))
        self.register_buffer("scale", torch.rand(6) * 0.002 + 0.001)
        self.register_buffer("steps", torch.randint(-2000, 2000, (6,), dtype=torch.int32))
        self.register_buffer("step", self.scale * 0.05)

    def forward(self, x: Tensor) -> Tensor:
        weight = voxc.dequantize_channels(self.weight, self.scale, 1 if self.up else 0)
        bias = voxc.dequantize_channels(self.steps, self.step, 0)
        convolve = torch.conv_transpose1d if self.up else torch.conv1d
        if not self.activations:
            return convolve(x, weight, bias)
        return integers(convolve(integers(x), weight, bias), 0.06)


@pytest.mark.parametrize("deployment", ["iOS17", "iOS18"])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(("plan", "tolerance"), [(FULL, 1e-5), (HALF, 1e-2)])
def test_weights_of_int8(tmp_path: Path, up: bool, plan: PrecisionPlan, tolerance: float, deployment: str) -> None:
    found = check(tmp_path, Layer(False, up), SHAPE, plan=plan, tolerance=tolerance, deployment=deployment)
    assert found["conv_transpose" if up else "conv"] == {"w8": 1}


def test_a_layer_between_integers(tmp_path: Path) -> None:
    found = check(tmp_path, Layer(True), SHAPE, tolerance=1e-5)
    assert found == {"conv": {"int8": 1}, "dequantize": {"int8": 2}, "quantize": {"int8": 2}}


def test_a_layer_between_integers_in_float16_is_off_by_a_step_at_most(tmp_path: Path) -> None:
    found = check(tmp_path, Layer(True), SHAPE, plan=HALF, tolerance=0.061)
    assert found["conv"] == {"int8": 1}


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_activations_with_a_zero_of_their_own(tmp_path: Path, dtype: torch.dtype) -> None:
    def network(x: Tensor) -> Tensor:
        return voxc.dequantize(voxc.quantize(x, 0.03, 17, dtype), 0.06, 17)

    found = check(tmp_path, network, SHAPE)
    assert found == {"dequantize": {"int8": 1}, "quantize": {"int8": 1}}


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, 48)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize("deployment", ["iOS17", "iOS18"])
def test_four_bits(tmp_path: Path, deployment: str) -> None:
    plan = PrecisionPlan(nodes={"addmm": "int4", "linear": "int4"}, default="fp16")
    found = check(tmp_path, Product(), ("T", 64), plan=plan, tolerance=0.2, deployment=deployment)
    assert found["linear"] == {"int4": 1}
    (weights,) = tmp_path.rglob("weight.bin")
    assert weights.stat().st_size < 64 * 48 / 2 + 1024
    assert np.prod((64, 48)) * 2 > weights.stat().st_size * 2
