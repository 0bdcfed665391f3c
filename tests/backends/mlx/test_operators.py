"""Each operator, with the arguments that it may have, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests.backends.mlx.harness import check
from tests.passes.harness import program_of
from voxc.backends.mlx import emitter
from voxc.compiler.core.errors import UnsupportedError

few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TABLE = torch.arange(10.0).reshape(5, 2)
PLACES = torch.arange(42).reshape(2, 3, 7) * 5 % 12
SCALE, SHIFT = torch.linspace(-1, 1, 12), torch.linspace(0, 1, 12)

ELEMENTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "exp": torch.exp,
    "floor": torch.floor,
    "log": lambda x: torch.log(x.abs() + 0.5),
    "not": lambda x: torch.logical_not(x > 0).float(),
    "neg": lambda x: -x,
    "reciprocal": lambda x: torch.reciprocal(x.abs() + 0.5),
    "rsqrt": lambda x: torch.rsqrt(x.abs() + 0.5),
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "sqrt": lambda x: torch.sqrt(x.abs()),
    "tanh": torch.tanh,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "relu": torch.relu,
    "leaky relu": lambda x: F.leaky_relu(x, 0.1),
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "clamp below": lambda x: x.clamp(min=-0.3),
    "clamp": lambda x: x.clamp(-0.3, 0.4),
    "numbers": lambda x: 1.5 - (x * 2 + 0.25) / 3,
    "remainder": lambda x: torch.remainder(x, 0.7),
    "comparisons": lambda x: sum(each.float() for each in (x >= 0.1, x > 0.2, x <= 0.3, x < 0.4, x == x)),
    "where": lambda x: torch.where(x > 0, x, -0.5 * x),
    "whole numbers": lambda x: ((x * 3).to(torch.int64) + 2) * 1.5,
    "whole numbers divided": lambda x: (x * 3).to(torch.int64) / 2,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(tmp_path: Path, name: str) -> None:
    check(tmp_path, ELEMENTWISE[name], (2, 3, "T"))


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "view": lambda x: x.reshape(3, -1) + 1,
    "permute": lambda x: x.permute(2, 0, 1) * 2,
    "squeeze": lambda x: x[:1].squeeze(0) + 1,
    "unsqueeze": lambda x: x.unsqueeze(1) + 1,
    "expand": lambda x: x[:, :1].expand(2, 5, 12) * 2,
    "slice": lambda x: x[:, 1:, 3:-2] + 1,
    "slice by steps": lambda x: x[:, :, 1::3] + 1,
    "select": lambda x: x[:, -1] + 1,
    "flip": lambda x: x.flip(0, 2) + 1,
    "cat": lambda x: torch.cat([x, -x, x[:, :1]], 1),
    "split, all used": lambda x: torch.cat(torch.split(x, [3, 4, 5], 2)[::-1], 2),
    "split, one used": lambda x: torch.split(x, [3, 4, 5], 2)[1] + 1,
    "pad": lambda x: F.pad(x, (1, 2, 0, 1), value=0.5),
    "pad and crop": lambda x: F.pad(x, (-1, 2, 1, -1)),
    "lookup": lambda x: F.embedding((x.abs() * 2).to(torch.int64).clamp(0, 4), TABLE),
    "gather": lambda x: torch.gather(x, 2, PLACES),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(tmp_path: Path, name: str) -> None:
    check(tmp_path, SHAPES[name], (2, 3, "T"))


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean((0, 2)),
    "mean, axes kept": lambda x: x.mean(1, keepdim=True),
    "sum": lambda x: x.sum((1,)),
    "softmax": lambda x: torch.softmax(x, 1),
    "cumsum": lambda x: torch.cumsum(x, 1),
    "layer norm": lambda x: F.layer_norm(x, (12,), SCALE, SHIFT),
    "layer norm without weights": lambda x: F.layer_norm(x, (12,)),
    "group norm": lambda x: F.group_norm(x.reshape(1, 6, 12), 3, SCALE[:6], SHIFT[:6]),
    "largest": lambda x: torch.topk(x, 4).values,
    "places of the smallest": lambda x: torch.topk(x, 4, 2, largest=False).indices.float(),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(tmp_path: Path, name: str) -> None:
    check(tmp_path, REDUCTIONS[name], (2, 3, "T"))


def test_a_mean_of_halves_does_not_overflow(tmp_path: Path) -> None:
    """12 * 3 * 9,000 is more than float16 has."""
    check(tmp_path, lambda x: (x * 0 + 9000).mean((1, 2)) / 9000, (2, 3, "T"), precision="fp16")


@few
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_products(tmp_path: Path, batch: int, rows: int, columns: int, constant: bool) -> None:
    weight = torch.randn(batch, 12, columns, generator=torch.Generator().manual_seed(rows))
    other = (lambda x: weight) if constant else (lambda x: x[:, :columns].transpose(1, 2))
    check(tmp_path, lambda x: x[:, :rows] @ other(x), (batch, 6, "T"), tolerance=1e-4)


def test_linear(tmp_path: Path) -> None:
    weight, bias = torch.randn(5, 12), torch.randn(5)
    assert "AddMM" in check(tmp_path, lambda x: F.linear(x, weight, bias), (4, "T"), tolerance=1e-4)
    assert "AddMM" not in check(tmp_path, lambda x: F.linear(x, weight), (4, "T"), tolerance=1e-4)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: F.leaky_relu(x, 1.5), "slope 1.5"),
        (lambda x: torch.add(x, x, alpha=2), "alpha=2"),
        (lambda x: F.layer_norm(x, (3, 12)), "a norm over several axes"),
    ],
)
def test_what_is_not_lowered_is_named(tmp_path: Path, function: Callable[[Tensor], Tensor], told: str) -> None:
    from tests.passes.harness import Function

    with pytest.raises(UnsupportedError, match=rf"MLX: aten\.\S+ in test \(node \w+, \S+:\d+\): {told}"):
        emitter.emit(program_of(Function(function), (2, 3, "T")), tmp_path)
