from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.backends.tflite.harness import check, integers, voxc
from voxc.compiler.core.errors import UnsupportedError

WIDE = (1, 1, "T", 8)


class Convolution(nn.Module):
    """A channels-last convolution, with real or integer weights, between real numbers or integers."""

    def __init__(
        self, outputs: int, taps: int, *, inputs: int = 8, groups: int = 1, stride: int = 1, padding: int = 0,
        dilation: int = 1, up: bool = False, extra: int = 0, weights: str = "float", activations: bool = False,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        torch.manual_seed(0)
        shape = (outputs, 1, taps, inputs // groups)
        self.weights, self.activations = weights, activations
        self.register_buffer("scale", torch.rand(outputs) * 0.002 + 0.001)
        self.register_buffer("weight", torch.randint(-127, 128, shape, dtype=torch.int8))
        self.register_buffer("real", torch.randn(shape) * 0.1)
        self.register_buffer("bias", torch.randn(outputs) if bias else None)
        self.register_buffer("steps", torch.randint(-2000, 2000, (outputs,), dtype=torch.int32))
        self.register_buffer("step", self.scale * 0.05)
        self.arguments = ([1, stride], [0, padding], [1, dilation], up, [0, extra], groups)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.real if self.weights == "float" else voxc.dequantize_channels(self.weight, self.scale, 0)
        if not self.activations:
            return voxc.conv_channels_last(x, weight, self.bias, *self.arguments)
        bias = self.bias if self.weights == "int8, real bias" else voxc.dequantize_channels(self.steps, self.step, 0)
        return integers(voxc.conv_channels_last(integers(x), weight, bias, *self.arguments), 0.06, 5)


GEOMETRIES = {
    "valid": {"outputs": 4, "taps": 3},
    "same": {"outputs": 4, "taps": 7, "padding": 9, "dilation": 3},
    "more than same": {"outputs": 4, "taps": 3, "padding": 3},
    "one-sided": {"outputs": 4, "taps": 4, "padding": 1},
    "strided": {"outputs": 4, "taps": 5, "padding": 2, "stride": 2},
    "depthwise": {"outputs": 8, "taps": 3, "padding": 1, "groups": 8},
    "depthwise, no bias": {"outputs": 8, "taps": 3, "padding": 1, "groups": 8, "bias": False},
    "depthwise, two each": {"outputs": 16, "taps": 3, "padding": 1, "groups": 8},
    "grouped": {"outputs": 4, "taps": 3, "padding": 1, "groups": 2},
    "up": {"outputs": 4, "taps": 4, "padding": 1, "stride": 2, "up": True},
    "up, uncut": {"outputs": 4, "taps": 5, "stride": 3, "up": True},
    "up, cut unlike same": {"outputs": 4, "taps": 3, "padding": 2, "stride": 2, "up": True},
    "up, lengthened": {"outputs": 4, "taps": 3, "padding": 1, "extra": 1, "stride": 2, "up": True},
    "up, longer than whole": {"outputs": 4, "taps": 3, "extra": 1, "stride": 2, "up": True},
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_real_convolutions(tmp_path: Path, geometry: str) -> None:
    found = check(tmp_path, Convolution(**GEOMETRIES[geometry]), WIDE)
    (code,) = set(found) - {"PAD", "SLICE"}
    wanted = {"up": "TRANSPOSE_CONV", "depthwise": "DEPTHWISE_CONV_2D"}.get(geometry.split(",")[0], "CONV_2D")
    assert (code, found[code]) == (wanted, {"fp32": 1})


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("weights", ["int8", "int8, real bias"])
def test_integer_convolutions(tmp_path: Path, geometry: str, weights: str) -> None:
    """One operator for the whole pattern, a step of the result away from it at most."""
    module = Convolution(**GEOMETRIES[geometry], weights=weights, activations=True)
    found = check(tmp_path, module, WIDE, tolerance=0.0601)
    assert all(counts == {"int8": 1} for counts in found.values()), found
    assert found.keys() >= {"QUANTIZE", "DEQUANTIZE"}


@pytest.mark.parametrize(
    ("geometry", "operators"),
    [
        ("same", {"CONV_2D": {"w8": 1}}),
        ("grouped", {"CONV_2D": {"w8": 1}}),
        ("depthwise", {"DEPTHWISE_CONV_2D": {"fp32": 1}, "DEQUANTIZE": {"int8": 1}}),
        ("up", {"TRANSPOSE_CONV": {"fp32": 1}, "DEQUANTIZE": {"int8": 1}}),
    ],
)
def test_integer_weights_alone(tmp_path: Path, geometry: str, operators: dict[str, object]) -> None:
    """CONV_2D rounds the activations itself, which its own kernels know how to; the others only get them smaller."""
    module = Convolution(**GEOMETRIES[geometry], weights="int8")
    assert check(tmp_path, module, WIDE, tolerance=0.05) == operators


def test_what_equals_same_needs_no_pad(tmp_path: Path) -> None:
    assert "PAD" not in check(tmp_path, Convolution(**GEOMETRIES["same"]), WIDE)
    assert "PAD" in check(tmp_path, Convolution(**GEOMETRIES["more than same"]), WIDE)


def test_three_axes_and_no_bias(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 8)
    module = nn.Module()
    module.register_buffer("weight", weight)
    module.forward = lambda x: voxc.conv_channels_last(  # type: ignore[method-assign]
        x, module.weight, None, [1], [1], [1], False, [0], 1
    )
    assert check(tmp_path, module, (2, "T", 8)) == {"CONV_2D": {"fp32": 1}, "RESHAPE": {"fp32": 2}}


def test_channels_first_stands_between_transpositions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 8, 3)
    found = check(tmp_path, lambda x: torch.conv1d(x, weight, padding=1), (1, 8, "T"))
    assert found["TRANSPOSE"] == {"fp32": 2}


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}])
def test_what_transposed_convolutions_lack(tmp_path: Path, options: dict[str, int]) -> None:
    module = Convolution(4, 3, up=True, **options)
    with pytest.raises(UnsupportedError, match="no transposed convolution with groups or dilation"):
        check(tmp_path, module, WIDE)


def test_computed_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"convolution.* in test \(node .*\): the weights .* are computed"):
        check(tmp_path, lambda x, w: torch.conv1d(x, w * 2), (1, 8, "T"), (4, 8, 3))
