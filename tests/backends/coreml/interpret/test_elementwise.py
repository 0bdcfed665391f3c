from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.coreml.interpret.harness import check, evaluate, few, integers, mb, normal, rounded, seeds
from voxc.compiler.core.errors import BundleError

UNARY = {
    "abs": torch.abs,
    "atan": torch.atan,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "identity": torch.clone,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}
IN_UNIT = {"acos": torch.acos, "asin": torch.asin, "atanh": torch.atanh}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "real_div": torch.div,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
}
COMPARISONS = {
    "equal": torch.eq,
    "not_equal": torch.ne,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
}
LOGICAL = {"logical_and": torch.logical_and, "logical_or": torch.logical_or, "logical_xor": torch.logical_xor}


@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_each_element_is_torchs(name: str) -> None:
    x = normal(len(name), 3, 50)
    check(lambda a: getattr(mb, name)(x=a), UNARY[name](x), x)


@pytest.mark.parametrize("name", IN_UNIT)
def test_a_function_on_the_unit_interval_is_torchs(name: str) -> None:
    x = normal(0, 40).tanh()
    check(lambda a: getattr(mb, name)(x=a), IN_UNIT[name](x), x)


@pytest.mark.parametrize("name", UNARY)
def test_results_in_float16_are_rounded_once(name: str) -> None:
    x = normal(len(name), 64).half()
    check(lambda a: getattr(mb, name)(x=a), UNARY[name](x.float()).half(), x, tolerance=0)


def test_halves_are_rounded_to_even() -> None:
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    check(lambda a: mb.round(x=a), torch.tensor([-2.0, -2.0, 0.0, 0.0, 2.0, 2.0]), x)


@pytest.mark.parametrize("name", BINARY)
@few
@given(
    seed=seeds,
    shapes=st.sampled_from([((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (1, 3, 1)), ((5,), (1,))]),
    whole=st.booleans(),
)
def test_arithmetic_broadcasts_as_torchs(
    name: str, seed: int, shapes: tuple[tuple[int, ...], tuple[int, ...]], whole: bool
) -> None:
    if whole and name == "real_div":
        return
    x, y = (integers(seed, 1, 9, *shape) if whole else normal(seed + len(shape), *shape) for shape in shapes)
    if whole:
        x = x - 5
    check(lambda a, b: getattr(mb, name)(x=a, y=b), BINARY[name](x, y), x, y)


@pytest.mark.parametrize("name", COMPARISONS)
@few
@given(seed=seeds)
def test_comparisons_are_torchs(name: str, seed: int) -> None:
    x, y = integers(seed, 0, 3, 4, 5), integers(seed + 1, 0, 3, 5)
    expected = COMPARISONS[name](x, y).to(torch.int32)
    check(lambda a, b: mb.cast(x=getattr(mb, name)(x=a, y=b), dtype="int32"), expected, x, y)
    check(lambda a, b: mb.cast(x=getattr(mb, name)(x=a, y=b), dtype="int32"), expected, x.float(), y.float())


@pytest.mark.parametrize("name", LOGICAL)
def test_logic_is_torchs(name: str) -> None:
    x, y = torch.tensor([0, 0, 1, 1], dtype=torch.int32), torch.tensor([0, 1, 0, 1], dtype=torch.int32)

    def build(a: object, b: object) -> object:
        given = getattr(mb, name)(x=mb.cast(x=a, dtype="bool"), y=mb.cast(x=b, dtype="bool"))
        return mb.cast(x=mb.logical_not(x=given), dtype="int32")

    check(build, torch.logical_not(LOGICAL[name](x, y)).to(torch.int32), x, y)


@few
@given(seed=seeds, epsilon=st.sampled_from([1e-12, 1e-4, 0.1]))
def test_what_needs_an_epsilon_adds_it_first(seed: int, epsilon: float) -> None:
    x = normal(seed, 30).abs()
    check(lambda a: mb.inverse(x=a, epsilon=epsilon), 1 / (x + epsilon), x)
    check(lambda a: mb.log(x=a, epsilon=epsilon), torch.log(x + epsilon), x)
    check(lambda a: mb.rsqrt(x=a, epsilon=epsilon), torch.rsqrt(x + epsilon), x)
    check(lambda a: mb.sqrt(x=a), torch.sqrt(x), x)


@few
@given(seed=seeds, low=st.floats(-1, -0.1), high=st.floats(0.1, 1))
def test_bounds_hold(seed: int, low: float, high: float) -> None:
    x = normal(seed, 30)
    check(lambda a: mb.clip(x=a, alpha=low, beta=high), x.clamp(low, high), x)
    check(lambda a: mb.threshold(x=a, alpha=low), x.clamp(min=low), x)


@few
@given(seed=seeds, exponent=st.sampled_from([0.5, 2.0, 3.0, -1.0]))
def test_powers_are_torchs(seed: int, exponent: float) -> None:
    x = normal(seed, 30).abs() + 0.1
    check(lambda a: mb.pow(x=a, y=exponent), x**exponent, x)


def test_powers_of_integers_are_exact() -> None:
    x = torch.tensor([-3, 2, 7], dtype=torch.int32)
    check(lambda a: mb.pow(x=a, y=5), x**5, x, tolerance=0)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int32", torch.tensor([-2, -1, 0, 0, 1, 2, 300], dtype=torch.int32)),
        ("bool", torch.tensor([1, 1, 1, 0, 1, 1, 1], dtype=torch.int32)),
        ("int8", torch.tensor([-2, -1, 0, 0, 1, 2, 44], dtype=torch.int32)),
        ("int16", torch.tensor([-2, -1, 0, 0, 1, 2, 300], dtype=torch.int32)),
    ],
)
def test_casts_cut_towards_zero(dtype: str, expected: torch.Tensor) -> None:
    x = torch.tensor([-2.9, -1.5, -0.5, 0.0, 1.5, 2.9, 300.0])
    check(lambda a: mb.cast(x=mb.cast(x=a, dtype=dtype), dtype="int32"), expected, x)


def test_a_cast_to_float16_rounds_and_overflows() -> None:
    x = torch.tensor([1.0, 1.0 + 2.0**-12, 65504.0, 70000.0])
    check(lambda a: mb.cast(x=mb.cast(x=a, dtype="fp16"), dtype="fp32"), rounded(x), x, tolerance=0)
    assert torch.isinf(rounded(x)[-1])


@few
@given(seed=seeds)
def test_a_choice_broadcasts(seed: int) -> None:
    x, y = normal(seed, 3, 4), normal(seed + 1, 4)
    picks = integers(seed, 0, 2, 3, 4)
    check(
        lambda a, b, c: mb.select(cond=mb.cast(x=a, dtype="bool"), a=b, b=c),
        torch.where(picks.bool(), x, y),
        picks,
        x,
        y.expand(3, 4).contiguous(),
    )


def test_an_integer_divided_by_zero_is_refused() -> None:
    x, y = torch.tensor([4], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    with pytest.raises(BundleError, match="floor_div .*: an integer divided by zero"):
        evaluate(lambda a, b: mb.floor_div(x=a, y=b), x, y)
