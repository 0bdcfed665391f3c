from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("coremltools", reason="coremltools is not installed")

from tests.backends.coreml.harness import FULL, HALF, component_for, emit, program_for
from voxc.backends.coreml.mil import Block, Constant, Function, Named, Operation, TensorType
from voxc.backends.coreml.residency import Values, judge, multiplications, placements
from voxc.backends.coreml.residency_rules import load_rules
from voxc.compiler.core.errors import BundleError, UnsupportedError
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.runner import Placement

LATEST, OLDEST = load_rules().generations[0], load_rules().generations[-1]


def explain(folder: Path, module: object, *shapes: tuple[int, ...], plan: PrecisionPlan = HALF) -> list[Placement]:
    """The operators of a small network, but for what turns float32 inputs and outputs into float16."""
    package = emit(folder, program_for(component_for(module, *shapes), plan))  # type: ignore[arg-type]
    found = placements(package, LATEST.width, "CPU_AND_NE")
    return [each for each in found if each.op != "cast"]


def operation(
    kind: str, *shapes: tuple[int | None, ...], dtype: str = "float16", **inputs: tuple[int, ...]
) -> tuple[Operation, Values]:
    """One operation from the first shapes to the last one, with constants of the shapes of `inputs`."""
    *given, result = (Named(f"v{index}", TensorType(dtype, shape)) for index, shape in enumerate(shapes))
    arguments = {"x" if index == 0 else f"x{index}": (each.name,) for index, each in enumerate(given)}
    weights = {name: (Constant(TensorType("float16", shape), lambda: np.zeros(1)),) for name, shape in inputs.items()}
    made = Operation(kind, arguments | weights, (result,), {})  # type: ignore[arg-type]
    function = Function("main", "CoreML7", tuple(given), Block((), (result.name,), (made,)))
    return made, Values(function)


def rule_of(generation: object, *arguments: object, **options: object) -> str | None:
    found = judge(load_rules(), generation, *operation(*arguments, **options))  # type: ignore[arg-type]
    return found and found.rule


def test_every_source_is_listed_and_used() -> None:
    rules = load_rules()
    reasons = [rules.rank, rules.axis, rules.kernel, rules.static, rules.types, rules.unknown, rules.native]
    named = {name for each in (*reasons, *rules.generations, *rules.elsewhere) for name in each.sources}
    assert named == set(rules.sources)
    assert all(each.sources for each in (*rules.generations, *rules.elsewhere))


def test_no_operation_has_two_rules() -> None:
    rules = load_rules()
    lists = [rules.native.operations, *(each.operations for each in rules.elsewhere)]
    assert sum(map(len, lists)) == len(frozenset().union(*lists))


@pytest.mark.parametrize(
    ("kind", "shapes", "rule"),
    [
        ("relu", [(1, 8, 1, 9), (1, 8, 1, 9)], None),
        ("relu", [(1, 1, 1, 65536), (1, 1, 1, 65536)], None),
        ("relu", [(1, 1, 1, 65537), (1, 1, 1, 9)], "axis"),
        ("relu", [(1, 1, 1, 9), (1, 1, 1, 65537)], "axis"),
        ("relu", [(1, 1, 16385, 9), (1, 1, 16385, 9)], "axis"),
        ("relu", [(1, 65537, 1, 9), (1, 65537, 1, 9)], "axis"),
        ("relu", [(70000,), (70000,)], "axis"),
        ("relu", [(1, 1, 1, 1, 9), (1, 1, 1, 1, 9)], None),
        ("relu", [(1, 1, 1, 1, 1, 9), (1, 1, 1, 1, 1, 9)], "rank"),
        ("relu", [(1, 8, 1, None), (1, 8, 1, 9)], "static"),
        ("gather", [(9, 4), (3, 4)], "elsewhere"),
        ("lstm", [(9, 4), (3, 4)], "elsewhere"),
        ("sparkle", [(9, 4), (3, 4)], "unknown"),
    ],
)
def test_rules(kind: str, shapes: list[tuple[int, ...]], rule: str | None) -> None:
    assert rule_of(LATEST, kind, *shapes) == rule


@pytest.mark.parametrize(("dtype", "rule"), [("float32", "types"), ("int32", "types"), ("int8", None), ("bool", None)])
def test_types(dtype: str, rule: str | None) -> None:
    assert rule_of(LATEST, "relu", (1, 8), (1, 8), dtype=dtype) == rule


@pytest.mark.parametrize(("generation", "width", "kernel"), [(LATEST, 65536, 15), (OLDEST, 16384, 13)])
def test_limits_of_a_generation(generation: object, width: int, kernel: int) -> None:
    assert rule_of(generation, "relu", (1, 1, 1, width), (1, 1, 1, width)) is None
    assert rule_of(generation, "relu", (1, 1, 1, width + 1), (1, 1, 1, width + 1)) == "axis"
    assert rule_of(generation, "conv", (1, 2, 1, 40), (1, 2, 1, 40), weight=(2, 2, 1, kernel)) is None
    assert rule_of(generation, "conv", (1, 2, 1, 40), (1, 2, 1, 40), weight=(2, 2, 1, kernel + 1)) == "kernel"


def test_words_have_the_numbers() -> None:
    found = judge(load_rules(), OLDEST, *operation("relu", (1, 1, 1, 40000), (1, 1, 1, 40000)))
    assert found is not None
    assert found.why == "width 40000 is over 16384"


@pytest.mark.parametrize(
    ("kind", "shapes", "inputs", "macs"),
    [
        ("conv", [(1, 4, 1, 9), (1, 6, 1, 7)], {"weight": (6, 2, 1, 3)}, 6 * 7 * 2 * 3),
        ("conv_transpose", [(1, 4, 1, 9), (1, 6, 1, 18)], {"weight": (4, 3, 1, 4)}, 4 * 9 * 3 * 4),
        ("linear", [(5, 4), (5, 6)], {"weight": (6, 4)}, 5 * 6 * 4),
        ("matmul", [(2, 5, 4), (2, 5, 6)], {"y": (2, 4, 6)}, 2 * 5 * 6 * 4),
        ("relu", [(1, 4), (1, 4)], {}, 0),
    ],
)
def test_multiplications(
    kind: str, shapes: list[tuple[int, ...]], inputs: dict[str, tuple[int, ...]], macs: int
) -> None:
    assert multiplications(*operation(kind, *shapes, **inputs)) == macs


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [("conv", {}), ("conv", {"weight": ()}), ("linear", {"x": ()}), ("matmul", {"transpose_x": (2,)})],
    ids=["no weight", "a number as weight", "no operand", "two flags"],
)
def test_what_contradicts_itself_is_an_error(kind: str, inputs: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(BundleError):
        multiplications(*operation(kind, (2, 3), (2, 3), **inputs))


class Attention(nn.Module):
    """Two products of matrices, one of them turned around."""

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return torch.bmm(torch.bmm(q, k.transpose(1, 2)), k)


def test_products_of_a_package(tmp_path: Path) -> None:
    found = explain(tmp_path, Attention(), (2, 5, 4), (2, 6, 4))
    assert [each.macs for each in found if each.op == "matmul"] == [2 * 5 * 6 * 4] * 2
    assert {each.where for each in found if each.op == "matmul"} == {"ANE"}


def test_products_on_channels(tmp_path: Path) -> None:
    found = explain(tmp_path, torch.ops.voxc.matmul_channels, (1, 3, 1, 5), (1, 5, 1, 7))
    assert [(each.macs, each.where) for each in found if each.op == "einsum"] == [(3 * 5 * 7, "ANE")]


def test_a_turned_left_operand(tmp_path: Path) -> None:
    found = explain(tmp_path, lambda x, y: torch.bmm(x.transpose(1, 2), y), (2, 4, 5), (2, 4, 6))
    assert sum(each.macs for each in found) == 2 * 5 * 6 * 4


def test_float32_is_elsewhere_and_constants_are_not_listed(tmp_path: Path) -> None:
    def module(x: Tensor) -> Tensor:
        return F.conv1d(x, torch.ones(2, 2, 3), torch.ones(2))

    (half,) = (each for each in explain(tmp_path / "half", module, (1, 2, 9)) if each.op == "conv")
    (full,) = (each for each in explain(tmp_path / "full", module, (1, 2, 9), plan=FULL) if each.op == "conv")
    assert (half.where, half.why, half.fix) == ("ANE", "", "")
    assert (full.where, full.rule) == ("CPU", "types")
    assert full.sources == tuple(load_rules().sources[name] for name in load_rules().types.sources)
    assert half.macs == full.macs == 2 * 7 * 2 * 3
    assert half.generations == {LATEST.name: "ANE", OLDEST.name: "ANE"}


def test_what_the_engine_leaves_goes_where_the_units_say(tmp_path: Path) -> None:
    package = emit(tmp_path, program_for(component_for(torch.sin, (2, 3)), HALF))
    assert {each.where for each in placements(package, 65536, "CPU_AND_NE") if each.op == "sin"} == {"CPU"}
    assert {each.where for each in placements(package, 16384, "ALL") if each.op == "sin"} == {"GPU"}
    with pytest.raises(UnsupportedError, match="CPU_AND_GPU"):
        placements(package, 65536, "CPU_AND_GPU")
    with pytest.raises(UnsupportedError, match="rows of 99"):
        placements(package, 99, "CPU_AND_NE")
