from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.backends.tflite.harness import check, integers, voxc
from voxc.compiler.core.errors import UnsupportedError

SHAPE = (1, 1, "T", 8)
ENDS = {"QUANTIZE": {"int8": 1}, "DEQUANTIZE": {"int8": 1}}


class Stored(nn.Module):
    """A product with weights that are stored as given and used in float32."""

    def __init__(self, weight: Tensor, scale: Tensor | None = None, axis: int = 0) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            return x @ torch.ops.aten._to_copy.default(self.weight, dtype=torch.float32)
        return x @ voxc.dequantize_channels(self.weight, self.scale, self.axis)


def test_a_tensor_becomes_real_once(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        y = integers(x)
        return torch.exp(y) + torch.sin(y) * y

    found = check(tmp_path, network, SHAPE)
    assert (found["QUANTIZE"], found["DEQUANTIZE"]) == ({"int8": 1}, {"int8": 1})


def test_one_real_operand_makes_it_a_computation_in_real_numbers(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x, y: integers(integers(x) + y, 0.06, 7), SHAPE, SHAPE, tolerance=0.0601)
    assert found["ADD"] == {"fp32": 1}


def test_one_user_of_real_numbers_too(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        y = integers(x) + integers(x)
        return integers(y, 0.1, 2) + torch.sin(y)

    assert check(tmp_path, network, SHAPE, tolerance=1e-4)["ADD"] == {"fp32": 2}


def test_users_who_want_different_integers(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        y = integers(x) + integers(x)
        return integers(y, 0.1, 2) + integers(y, 0.3, 1)

    assert check(tmp_path, network, SHAPE, tolerance=1e-4)["ADD"] == {"fp32": 2}


def test_another_scale_for_the_same_integers_is_a_product(tmp_path: Path) -> None:
    """What multiplies integers by a number leaves them as they are, to the last one."""

    def network(x: Tensor) -> Tensor:
        return voxc.dequantize(voxc.quantize(x * 3, 0.05, -3, torch.int8), 0.0125, -3)

    assert check(tmp_path, network, SHAPE, tolerance=1e-6) == {**ENDS, "MUL": {"fp32": 1, "int8": 1}}


def test_other_zeros_for_the_same_integers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="not what quantize was quantized with"):
        check(tmp_path, lambda x: voxc.dequantize(voxc.quantize(x, 0.05, -3, torch.int8), 0.05, 4), SHAPE)


def test_unsigned_activations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"activations in torch.uint8; TFLite's kernels take int8"):
        check(tmp_path, lambda x: voxc.dequantize(voxc.quantize(x, 0.05, 3, torch.uint8), 0.05, 3), SHAPE)


def test_quantized_twice(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x: integers(integers(x), 0.07, 4), SHAPE, tolerance=0.0701)
    assert found == {"QUANTIZE": {"int8": 2}, "DEQUANTIZE": {"int8": 1}}


def test_weights_of_half_the_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = check(tmp_path, Stored(torch.randn(8, 4).half()), ("T", 8), tolerance=1e-5)
    assert found == {"FULLY_CONNECTED": {"fp32": 1}, "DEQUANTIZE": {"fp16": 1}}
    assert (tmp_path / "test.tflite").stat().st_size < 3000


def test_linear_layers_with_integer_weights_are_convolutions(tmp_path: Path) -> None:
    """FULLY_CONNECTED takes real activations with a scale for each channel in new runtimes only."""
    torch.manual_seed(0)
    weight = torch.randint(-127, 128, (8, 4), dtype=torch.int8)
    found = check(tmp_path, Stored(weight, torch.rand(4) * 0.01, 1), ("T", 8), tolerance=0.05)
    assert found == {"CONV_2D": {"w8": 1}, "RESHAPE": {"fp32": 2}}


def test_linear_layers_between_integers(tmp_path: Path) -> None:
    class Linear(Stored):
        def forward(self, x: Tensor) -> Tensor:
            return integers(super().forward(integers(x)), 0.2, -7)

    torch.manual_seed(0)
    weight = torch.randint(-127, 128, (8, 4), dtype=torch.int8)
    found = check(tmp_path, Linear(weight, torch.rand(4) * 0.01, 1), ("T", 8), tolerance=0.201)
    assert found == {**ENDS, "FULLY_CONNECTED": {"int8": 1}}


@pytest.mark.parametrize(
    ("code", "function", "extra"),
    [
        ("LEAKY_RELU", lambda x: F.leaky_relu(x, 0.1), {}),
        ("RELU", torch.relu, {"QUANTIZE": {"int8": 2}}),
        ("TANH", torch.tanh, {"QUANTIZE": {"int8": 2}}),
        ("LOGISTIC", torch.sigmoid, {"QUANTIZE": {"int8": 2}}),
        ("MUL", lambda x: x * 0.33, {}),
        ("ADD", lambda x: x + 0.5, {}),
        ("SUB", lambda x: x - 0.25, {}),
    ],
)
@pytest.mark.parametrize(("scale", "zero_point"), [(0.03, -10), (0.01, 50)])
def test_elementwise_between_integers(
    tmp_path: Path, code: str, function: object, extra: dict[str, object], scale: float, zero_point: int
) -> None:
    found = check(
        tmp_path, lambda x: integers(function(integers(x)), scale, zero_point), SHAPE, tolerance=scale * 1.01 + 0.008
    )
    assert found == {**ENDS, **extra, code: {"int8": 1}}


@pytest.mark.parametrize(("code", "function"), [("ADD", torch.add), ("SUB", torch.sub), ("MUL", torch.mul)])
def test_two_integer_operands(tmp_path: Path, code: str, function: object) -> None:
    def network(x: Tensor, y: Tensor) -> Tensor:
        return integers(function(integers(x), integers(y, 0.03, 4)), 0.06, 7)

    assert check(tmp_path, network, SHAPE, SHAPE, tolerance=0.0601)[code] == {"int8": 1}


@pytest.mark.parametrize("turned", [False, True])
def test_integer_products_of_batches(tmp_path: Path, turned: bool) -> None:
    def network(x: Tensor, y: Tensor) -> Tensor:
        right = integers(y, 0.03, 4)
        return integers(torch.bmm(integers(x), right.permute(0, 2, 1) if turned else right), 0.1, 7)

    found = check(tmp_path, network, (2, "T", 8), (2, 5, 8) if turned else (2, 8, 5), tolerance=0.101)
    assert found["BATCH_MATMUL"] == {"int8": 1}


@pytest.mark.parametrize(
    ("code", "function"),
    [
        ("TRANSPOSE", lambda x: x.permute(0, 3, 1, 2)),
        ("RESHAPE", lambda x: x.reshape(2, -1)),
        ("SLICE", lambda x: x[:, :, 2:7]),
        ("STRIDED_SLICE", lambda x: x[:, :, 2:9:3]),
        ("PAD", lambda x: F.pad(x, (1, 2, 0, 1))),
        ("CONCATENATION", lambda x: torch.cat([x, x], 2)),
        ("BROADCAST_TO", lambda x: x.expand(1, 3, -1, -1)),
        ("REVERSE_V2", lambda x: x.flip(2)),
    ],
)
def test_integers_are_moved_as_integers(tmp_path: Path, code: str, function: object) -> None:
    """Also where they become real numbers afterwards; and where the graph itself moves them."""
    found = check(tmp_path, lambda x: function(integers(x)) * 3, SHAPE)
    assert found == {**ENDS, code: {"int8": 1}, "MUL": {"fp32": 1}}


def test_joined_integers(tmp_path: Path) -> None:
    def network(x: Tensor, y: Tensor, scale: float) -> Tensor:
        return torch.cat([integers(x), integers(y, scale, -3)], 1)

    same = check(tmp_path, lambda x, y: network(x, y, 0.05), SHAPE, SHAPE)
    assert same["CONCATENATION"] == {"int8": 1}
    unlike = check(tmp_path, lambda x, y: network(x, y, 0.04), SHAPE, SHAPE)
    assert unlike["CONCATENATION"] == {"fp32": 1}
    wanted = check(tmp_path, lambda x, y: integers(network(x, y, 0.04)), SHAPE, SHAPE, tolerance=0.0501)
    assert (wanted["CONCATENATION"], wanted["QUANTIZE"]) == ({"int8": 1}, {"int8": 3})
