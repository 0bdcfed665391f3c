from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.backends.coreml.harness import HALF, check

SHAPE = (1, 4, "T")

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "floor": torch.floor,
    "relu": torch.relu,
    "round": torch.round,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "clip": lambda x: x.clamp(-0.5, 0.25),
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "real_div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
COMPARISONS: dict[str, Callable[[Tensor, Tensor | float], Tensor]] = {
    "equal": torch.eq,
    "not_equal": torch.ne,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
}


@pytest.mark.parametrize("kind", UNARY)
def test_of_one_tensor(tmp_path: Path, kind: str) -> None:
    assert check(tmp_path, UNARY[kind], SHAPE) == {kind: {"fp32": 1}}


@pytest.mark.parametrize("kind", BINARY)
def test_of_two_tensors_and_of_broadcast_ones(tmp_path: Path, kind: str) -> None:
    assert check(tmp_path, BINARY[kind], SHAPE, (4, 1), tolerance=1e-3) == {kind: {"fp32": 1}}


@pytest.mark.parametrize("kind", COMPARISONS)
def test_comparisons(tmp_path: Path, kind: str) -> None:
    def network(x: Tensor, y: Tensor) -> Tensor:
        whole, other = torch.round(x), torch.round(y)
        with_number = COMPARISONS[kind](whole, 1.0)
        return torch.where(COMPARISONS[kind](whole, other), x, y) + with_number.float()

    assert check(tmp_path, network, SHAPE, SHAPE)[kind] == {"bool": 2}


def test_logarithm_and_root_without_the_small_number_that_MIL_adds(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        small = x.abs() * 1e-13 + 1e-14
        return torch.log(small) + torch.rsqrt(small) * 1e-7 + (1 / small) * 1e-14 + small.sqrt()

    check(tmp_path, network, SHAPE, tolerance=1e-4)


def test_integers_compare_with_fractions(tmp_path: Path) -> None:
    check(tmp_path, lambda x: ((x * 3).to(torch.int32) > -0.5).float(), SHAPE)


def test_logic(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        both = torch.logical_and(x > 0, x < 0.5)
        return torch.logical_or(both, torch.logical_not(x > -1)).float()

    check(tmp_path, network, SHAPE)


def test_powers_remainders_negatives_and_bounds_on_one_side(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        return x**2 + (x.abs() + 1) ** 1.5 - (-x) % 0.7 + x.clamp(min=0.1) + x.clamp(max=-0.1) + x / 3

    check(tmp_path, network, SHAPE)


@pytest.mark.parametrize("choice", ["tensors", "a number", "numbers", "a condition of fewer rows"])
def test_choices(tmp_path: Path, choice: str) -> None:
    branches: dict[str, Callable[[Tensor], Tensor]] = {
        "tensors": lambda x: torch.where(x > 0, x, x[:, :1]),
        "a number": lambda x: torch.where(x > 0, x, -3.0),
        "numbers": lambda x: torch.where(x > 0, 2.0, -3.0),
        "a condition of fewer rows": lambda x: torch.where(x[:, :1] > 0, x, x * 2),
    }
    check(tmp_path, branches[choice], SHAPE)


def test_a_number_that_float16_cannot_hold_keeps_its_node_in_float32(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x: x * 1e-9 * 1_000_000_000, SHAPE, plan=HALF, tolerance=1e-2)
    assert found["mul"] == {"fp32": 2}


def test_a_place_is_no_such_number(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x: x[:, :, 2:99_999], SHAPE, plan=HALF, tolerance=1e-2)
    assert found["slice_by_index"] == {"fp16": 1}


def test_a_copy_is_the_value_itself(tmp_path: Path) -> None:
    assert check(tmp_path, lambda x: torch.sin(x.clone()), SHAPE) == {"sin": {"fp32": 1}}


def test_casts_between_integers_and_real_numbers(tmp_path: Path) -> None:
    found = check(tmp_path, lambda x: (x * 4).to(torch.int64).to(torch.float32), SHAPE)
    assert found["cast"] == {"fp32": 1, "int32": 1}
