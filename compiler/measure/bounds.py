"""How close to float32 PyTorch a component has to come to pass, by what it computes in."""

from __future__ import annotations

from collections.abc import Mapping

from voxc.compiler.core.fidelity import LEAST_FLOAT32_SNR_DB
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.recipe import DEFAULT_MIN_SNR_DB, PrecisionRecipe
from voxc.compiler.core.target import Target

# What a correct lowering reaches with room to spare, and a wrong one does not: with weights in fp16, with arithmetic in
# float16, and with weights of four bits, whose worth only the gates on a conversion tell.
LEAST_FP16_SNR_DB, LEAST_HALF_SNR_DB, LEAST_INT4_SNR_DB = 40.0, 30.0, 5.0


def missed(component: str, figures: Mapping[str, Figure], bound: float) -> tuple[str, ...]:
    """What fell short of the bound: equal outputs have no SNR and pass."""
    equal = figures.get("max_abs_error", figures["snr"]).value == 0
    failures = []
    for name, each in figures.items():
        if name.startswith("snr") and not (equal and name == "snr") and (each.value is None or each.value < bound):
            reached = "not finite" if each.value is None else f"{each.value:.1f} dB"
            failures.append(f"{component}: {name} to float32 PyTorch is {reached}, below {bound:g} dB")
    return tuple(failures)


def least_snr(plan: PrecisionPlan, target: Target, recipe: PrecisionRecipe) -> float:
    """The bound in dB that a component's output has to keep, by the coarsest that its nodes compute in."""
    used = {plan.default, *plan.nodes.values()}
    if used <= {"fp32"}:
        return LEAST_FLOAT32_SNR_DB
    if used <= {"fp32", "fp16"}:
        return LEAST_HALF_SNR_DB if target.arithmetic == "float16" else LEAST_FP16_SNR_DB
    return recipe.min_snr or (LEAST_INT4_SNR_DB if "int4" in used else DEFAULT_MIN_SNR_DB)
