"""Weights of few bits: what they take, how near they come, and where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from tests.backends.mlx.harness import check
from voxc.backends.mlx.emitter import WEIGHTS
from voxc.compiler.core.plan import Precision

BITS = {"w8": 8, "int4": 4}
#: A step of weights between -1 and 1, times as many inputs as there are, at their worst.
TOLERANCE = {"w8": 0.3, "int4": 4.0}


class Layers(nn.Module):
    """A linear layer, a convolution and heads in the weights."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator) * 2 - 1

        self.register_buffer("linear", uniform(inputs, inputs))
        self.register_buffer("kernel", uniform(8, 1, 3, inputs))
        self.register_buffer("heads", uniform(2, inputs, 8))
        self.register_buffer("bias", uniform(inputs))

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.linear, self.bias)
        wide = x.reshape(1, 1, *x.shape)
        y = torch.ops.voxc.conv_channels_last(wide, self.kernel, None, [1, 1], [0, 1], [1, 1], False, [0, 0], 1)
        return torch.bmm(x.expand(2, *x.shape), self.heads) + y.reshape(y.shape[2:])


@pytest.mark.parametrize("precision", ["w8", "int4"])
@pytest.mark.parametrize(("inputs", "group"), [(128, 64), (64, 64), (96, 32)])
def test_groups(tmp_path: Path, precision: Precision, inputs: int, group: int) -> None:
    """`bits` for each weight, and a float16 scale and offset for each group of 64 inputs, or 32 where they must be."""
    found = check(tmp_path, Layers(inputs), ("T", inputs), precision=precision, tolerance=TOLERANCE[precision] * inputs)
    assert found["QuantizedMatmul"] == {precision: 2}
    assert found["Convolution"] == {"fp16": 1}
    stored = load_file(tmp_path / "test" / WEIGHTS)
    for name, weights in (("linear", inputs**2), ("heads", inputs * 16), ("kernel", inputs * 24)):
        size = 32 if weights // 8 % 64 and name == "kernel" else group
        assert stored[f"{name}.weight"].nbytes * 8 == weights * BITS[precision], name
        assert stored[f"{name}.scales"].dtype == stored[f"{name}.biases"].dtype == "float16"
        assert stored[f"{name}.scales"].size == stored[f"{name}.biases"].size == weights // size


def test_what_no_group_divides_stays_as_it_is(tmp_path: Path) -> None:
    weight = torch.rand(5, 12)
    found = check(tmp_path, lambda x: F.linear(x, weight), (4, "T"), precision="w8", tolerance=0.05)
    assert "QuantizedMatmul" not in found
    assert {array.dtype.name for array in load_file(tmp_path / "test" / WEIGHTS).values()} == {"float16"}


def test_nearer_with_more_bits(tmp_path: Path) -> None:
    weight = torch.rand(8, 64, generator=torch.Generator().manual_seed(0))
    check(tmp_path / "w8", lambda x: F.linear(x, weight), (4, 64), precision="w8", tolerance=0.05)
    with pytest.raises(AssertionError, match="off by"):
        check(tmp_path / "int4", lambda x: F.linear(x, weight), (4, 64), precision="int4", tolerance=0.05)
