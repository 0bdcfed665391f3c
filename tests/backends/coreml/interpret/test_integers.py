from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests.backends.coreml.interpret.harness import check, few, mb, normal, save, seeds
from voxc.backends.coreml.interpret import integers
from voxc.backends.coreml.interpreter import Interpreter
from voxc.compiler.core.tensor import Array

SCALE = np.float32(0.037)


def weights(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-127, 128, shape, np.int8)


def steps_of(x: Tensor, scale: float, zero: int, low: int, high: int) -> Tensor:
    """The integers that x is quantized to, less their zero point, in float64."""
    return (torch.round(x.float() / scale) + zero).clamp(low, high).double() - zero


def signal(a: Any, scale: Any, zero: int, dtype: str) -> Any:
    given_ = {"zero_point": np.dtype(dtype).type(zero)} if zero else {}
    return mb.dequantize(input=mb.quantize(input=a, scale=scale, output_dtype=dtype, **given_), scale=scale, **given_)


def stored(weight: Array, scales: Any, axis: int = 0) -> Any:
    return mb.constexpr_affine_dequantize(quantized_data=weight, scale=scales, zero_point=np.int8(0), axis=axis)


def scales_for(count: int, dtype: Any = np.float32) -> Array:
    return (np.random.default_rng(0).random(count) * 0.01 + 0.001).astype(dtype)


@few
@given(
    seed=seeds,
    zero=st.sampled_from([0, 3]),
    kept=st.sampled_from(["dequantize", "constexpr"]),
    channels=st.booleans(),
    biased=st.booleans(),
    groups=st.sampled_from([1, 2]),
)
def test_a_convolution_of_integers_is_exact(
    seed: int, zero: int, kept: str, channels: bool, biased: bool, groups: int
) -> None:
    x, weight = 2 * normal(seed, 1, 4, 20), weights(seed, 6, 4 // groups, 3)
    scales = scales_for(6) if channels else np.float32(0.01)
    bias = normal(seed + 1, 6).numpy()
    given_ = {"bias": bias} if biased else {}

    def build(a: Any) -> Any:
        if kept == "dequantize":
            real = mb.dequantize(input=weight, scale=scales, **({"axis": 0} if channels else {}))
        else:
            real = stored(weight, scales)
        quantized = signal(a, SCALE, zero, "int8")
        return mb.conv(x=quantized, weight=real, pad_type="custom", pad=[1, 1], groups=groups, **given_)

    whole = F.conv1d(steps_of(x, SCALE, zero, -128, 127), torch.from_numpy(weight).double(), padding=1, groups=groups)
    spread = torch.as_tensor(scales).reshape(-1, 1).double()
    expected = whole * (spread * float(SCALE)) + (torch.from_numpy(bias)[:, None] if biased else 0)
    check(build, expected.float(), x, tolerance=0)


def test_a_linear_layer_of_integers_in_float16_is_rounded_once() -> None:
    x, weight, scales = normal(0, 3, 64).half(), weights(0, 16, 64), scales_for(16, np.float16)
    scale = np.float16(0.02)

    def build(a: Any) -> Any:
        real = stored(weight, scales)
        return mb.linear(x=signal(a, scale, 128, "uint8"), weight=real)

    whole = F.linear(steps_of(x, float(scale), 128, 0, 255), torch.from_numpy(weight).double())
    expected = (whole * (torch.from_numpy(scales).double() * float(scale))).float().half()
    check(build, expected, x, tolerance=0)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_of_integers_is_exact_where_its_scales_are_the_channels(groups: int) -> None:
    x, weight, scales = normal(0, 1, 4, 9), weights(0, 4, 3, 4), scales_for(3)

    def build(a: Any) -> Any:
        real = stored(weight, scales, 1)
        return mb.conv_transpose(x=signal(a, SCALE, 0, "int8"), weight=real, strides=[2], groups=groups)

    steps = steps_of(x, SCALE, 0, -128, 127)
    whole = F.conv_transpose1d(steps, torch.from_numpy(weight).double(), stride=2, groups=groups)
    spread = torch.from_numpy(scales).double().repeat(groups)[:, None]
    check(build, (whole * (spread * float(SCALE))).float(), x, tolerance=0 if groups == 1 else 1e-5)


@pytest.mark.parametrize("size", [100, 3000, 30000])
def test_sums_beyond_what_float32_counts_are_exact(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.full((1, size), 300.0), np.full((1, size), 127, np.int8)
    weight[0, 0] = 126  # an odd sum, which float32 does not have beyond 2^24
    sums = []
    exact = integers.exact
    monkeypatch.setattr(integers, "exact", lambda *given: sums.append(exact(*given)) or sums[0])

    def build(a: Any) -> Any:
        real = stored(weight, np.float32(1))
        return mb.linear(x=signal(a, np.float32(1), 0, "int8"), weight=real)

    expected = 127 * 127 * size - 127
    check(build, torch.tensor([[float(expected)]]), x)
    assert sums[0].item() == expected


@pytest.mark.parametrize("between", ["relu", "nothing"])
def test_what_is_between_keeps_a_layer_on_real_numbers(between: str, tmp_path: Path) -> None:
    weight = weights(0, 2, 4)

    def build(a: Any) -> Any:
        real = stored(weight, np.float32(0.01))
        x = signal(a, SCALE, 0, "int8")
        return mb.linear(x=mb.relu(x=x) if between == "relu" else x, weight=real)

    prepared = Interpreter(save(build, [normal(0, 3, 4)], tmp_path), 1).routines["main"]
    kernels = {step.operation.type: step.kernel for step in prepared.steps}
    assert (kernels["linear"] is integers.product) == (between == "nothing")
    assert ("dequantize" in kernels) == (between == "relu")  # nothing else reads it
