"""Where a search has times from: a runtime of the target on this machine, or where there is none, an estimate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import fx

from voxc.compiler.core.cost import cost_of, costs
from voxc.compiler.core.figure import Evidence
from voxc.compiler.core.plan import Precision, PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Peaks, Target
from voxc.compiler.measure.estimate import FORMULA, estimate, inputs_of
from voxc.compiler.precision.subject import Subject

Choice = frozenset[str]


@dataclass(frozen=True)
class LayerTime:
    """Seconds for one layer in each form: in the target's floats, and as integers."""

    floats: float
    int8: float

    @property
    def saved(self) -> float:
        return self.floats - self.int8


class Clock(ABC):
    """Says what integers save. `told` is how, for people, and `evidence` what that is worth."""

    told: str
    evidence: Evidence

    @abstractmethod
    def time(self, program: Program, node: fx.Node) -> LayerTime | None:
        """What one layer takes; None where that has no seconds, and what integers save goes with its products."""

    @abstractmethod
    def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
        """Choices of layers and sums, the fastest first."""


class Roofline(Clock):
    """Layers at the peaks of a target that is not here."""

    evidence: Evidence = "estimate"

    def __init__(self, target: Target, peaks: Peaks) -> None:
        self.target, self.peaks = target, peaks
        self.told = (
            f"estimates, as no runtime of {target.name} is here: the {FORMULA} of each layer by itself, with inputs "
            f"quantized by what gives them; {inputs_of(peaks)}"
        )

    def time(self, program: Program, node: fx.Node) -> LayerTime:
        def seconds(precision: Precision) -> float:
            planned = replace(program, plan=PrecisionPlan(nodes={node.name: precision}))
            return estimate([cost_of(planned, node, self.target)], self.peaks).seconds

        return LayerTime(seconds(floats_of(self.target)), seconds("int8"))

    def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
        return sorted(
            choices, key=lambda choice: estimate(costs(subject.planned(choice), self.target), self.peaks).seconds
        )


class Products(Clock):
    """Multiply-accumulates alone, for a target whose peaks nobody knows: what is int8 saves an equal part of each."""

    evidence: Evidence = "estimate"

    def __init__(self, target: Target) -> None:
        self.target = target
        self.told = (
            f"estimates, as no runtime of {target.name} is here and its peaks are not known: a layer's "
            f"multiply-accumulates, each of which int8 is taken to save an equal time of"
        )

    def time(self, program: Program, node: fx.Node) -> None:
        return None

    def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
        def products(choice: Choice) -> int:
            return sum(each.macs for each in costs(subject.planned(choice), self.target) if each.arithmetic == "int8")

        return sorted(choices, key=products, reverse=True)


def floats_of(target: Target) -> Precision:
    """What a layer is in that is no integer: what stores its weights smaller without a loss, where there is that."""
    return "fp16" if "fp16" in target.precisions else "fp32"


def estimating(target: Target) -> Clock:
    """For a target that has no runtime here."""
    return Products(target) if target.peaks is None else Roofline(target, target.peaks)
