from __future__ import annotations

import math

import pytest

from voxc.compiler.core.figure import Figure, figure
from voxc.compiler.core.plan import Precision, PrecisionPlan
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import Target
from voxc.compiler.measure.bounds import least_snr, missed


def snr(value: float) -> dict[str, Figure]:
    return {"snr": figure(value, "dB", "measured")}


@pytest.mark.parametrize(
    ("default", "others", "arithmetic", "bound"),
    [
        ("fp32", (), "float32", 60),
        ("fp32", ("fp16",), "float32", 40),
        ("fp16", ("fp32",), "float16", 30),
        ("fp16", ("w8",), "float16", 25),
        ("fp32", ("int8", "fp16"), "float32", 25),
        ("fp16", ("int4", "w8"), "float16", 5),
    ],
)
def test_the_coarsest_precision_sets_the_bound(
    target: Target, default: Precision, others: tuple[Precision, ...], arithmetic: str, bound: float
) -> None:
    plan = PrecisionPlan(default=default, nodes={f"node_{index}": each for index, each in enumerate(others)})
    assert least_snr(plan, target.model_copy(update={"arithmetic": arithmetic}), PrecisionRecipe()) == bound


def test_what_was_asked_for_goes_before_where_there_are_integers(target: Target) -> None:
    recipe = PrecisionRecipe(min_snr=33)
    assert least_snr(PrecisionPlan(nodes={"x": "int8"}), target, recipe) == 33
    assert least_snr(PrecisionPlan(), target, recipe) == 60


def test_what_falls_short_is_named() -> None:
    assert missed("content", snr(30.0), 30) == ()
    assert missed("content", snr(29.9), 30) == ("content: snr to float32 PyTorch is 29.9 dB, below 30 dB",)
    assert "not finite" in missed("content", snr(-math.inf), 30)[0]
    assert "snr_8_frames" in missed("content", {**snr(40.0), "snr_8_frames": snr(3.0)["snr"]}, 30)[0]


def test_equal_outputs_have_no_ratio_and_pass() -> None:
    equal = {**snr(math.inf), "max_abs_error": figure(0.0, "1", "measured")}
    assert missed("content", equal, 60) == ()
    assert "snr_rehearsed" in missed("content", {**equal, "snr_rehearsed": snr(3.0)["snr"]}, 60)[0]
