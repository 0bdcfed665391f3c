"""What the figures are held to: ratings, and gates that fail a build.

No library of metrics is imported here: targets and the command line parse gates without them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from voxc.compiler.core.errors import RecipeError

if TYPE_CHECKING:
    from voxc.compiler.core.figure import Figure

Family = Literal["task", "fidelity", "bundle"]
Rating = Literal["excellent", "good", "acceptable", "poor"]
RATINGS: tuple[Rating, ...] = ("excellent", "good", "acceptable")
TASK: Family = "task"
FIDELITY: Family = "fidelity"
BUNDLE: Family = "bundle"
#: Families about the sound of a converted sample.
OF_CONVERSIONS = (TASK, FIDELITY)

GATE = re.compile(r"\s*(?:(?P<family>\w+)\.)?(?P<name>\w+)\s*(?P<sign><=|>=)\s*(?P<bound>\S+)\s*")
#: float32's own resolution; equal signals are given this, as infinity is no number for a manifest.
MOST_SNR_DB = 150.0


@dataclass(frozen=True)
class Metric:
    """A metric: its unit, the families that have it (a bare name in a gate means the first), the sign of a sensible
    gate (None where the figure says nothing about the bundle), its possible values, and the bounds of RATINGS."""

    unit: str
    families: tuple[Family, ...]
    sign: Literal[">=", "<="] | None
    least: float = -math.inf
    most: float = math.inf
    ratings: tuple[float, float, float] | None = None


METRICS: Mapping[str, Metric] = {
    "secs": Metric("cosine", (TASK, FIDELITY), ">=", 0, 1, (0.85, 0.80, 0.75)),
    "secs_source": Metric("cosine", (TASK,), None, 0, 1),
    "secs_gain": Metric("cosine", (TASK,), ">=", -1, 1),
    "f0_correlation": Metric("Pearson", (TASK, FIDELITY), ">=", -1, 1, (0.90, 0.85, 0.80)),
    "f0_rmse": Metric("Hz", (TASK, FIDELITY), "<=", 0, ratings=(30, 50, 80)),
    "f0_rmse_cents": Metric("cents", (TASK, FIDELITY), "<=", 0),
    "voicing_error": Metric("fraction", (TASK, FIDELITY), "<=", 0, 1),
    "mos": Metric("MOS", (TASK,), ">=", 1, 5),
    "mos_source": Metric("MOS", (TASK,), None, 1, 5),
    "stoi_source": Metric("STOI", (TASK,), ">=", 0, 1),
    "snr": Metric("dB", (FIDELITY,), ">=", most=MOST_SNR_DB),
    "log_mel_distance": Metric("ln", (FIDELITY,), "<=", 0),
    "stoi": Metric("STOI", (FIDELITY,), ">=", 0, 1, (0.90, 0.85, 0.80)),
    "pesq": Metric("MOS-LQO", (FIDELITY,), ">=", 1, 4.65),
    "size_mib": Metric("MiB", (BUNDLE,), "<=", 0),
    "speedup": Metric("x", (BUNDLE,), ">=", 0),
    "memory_mib": Metric("MiB", (BUNDLE,), "<=", 0),
}


def rate(name: str, value: float) -> Rating | None:
    """How the field rates a value of a metric, by its bare name; None for a metric without ratings."""
    metric = METRICS[name]
    for rating, bound in zip(RATINGS, metric.ratings or (), strict=False):
        if (value >= bound) if metric.sign == ">=" else (value <= bound):
            return rating
    return "poor" if metric.ratings else None


@dataclass(frozen=True)
class Gate:
    """A bound on a figure. `str` gives the text that `parse` reads, with the family: `task.secs>=0.8`."""

    family: Family
    name: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """The gate of a text such as `secs>=0.8` or `fidelity.stoi>=0.9`.

        Raises:
            RecipeError: no such metric, a gate that no or every figure passes, or not a gate at all.
        """
        match = GATE.fullmatch(text)
        if match is None:
            raise RecipeError(f"gate {text!r}: write it as 'secs>=0.8', in quotes, as a shell takes > and < for itself")
        family, name, sign = match["family"], match["name"], match["sign"]
        metric = METRICS.get(name)
        if metric is None or metric.sign is None or family not in (None, *metric.families):
            raise RecipeError(f"gate {text!r}: {match['family'] or 'voxc'} has no metric {name!r} for gates; {known()}")
        if sign != metric.sign:
            better = "higher" if metric.sign == ">=" else "lower"
            raise RecipeError(
                f"gate {text!r}: {better} is better for {name}; write {name}{metric.sign}{match['bound']}"
            )
        return cls(metric.families[0] if family is None else family, name, bound_of(text, match["bound"], metric))

    @property
    def sign(self) -> str | None:
        return METRICS[self.name].sign

    def __str__(self) -> str:
        return f"{self.family}.{self.name}{self.sign}{self.bound:.12g}"

    def failure(self, figures: Mapping[str, Mapping[str, Figure]]) -> str | None:
        """Why `figures`, by family and name, do not pass; None if they do. A figure without a number fails."""
        figure = figures.get(self.family, {}).get(self.name)
        if figure is None:
            return f"gate {self}: {self.family}.{self.name} was not measured"
        if figure.value is None:
            return f"gate {self}: {self.family}.{self.name} has no number ({figure.how})"
        if (figure.value >= self.bound) if self.sign == ">=" else (figure.value <= self.bound):
            return None
        relation = "below" if self.sign == ">=" else "above"
        return f"gate {self}: {self.family}.{self.name} is {figure.value:.4g} {figure.unit}, {relation} {self.bound:g}"


def failures(
    gates: Iterable[str], figures: Mapping[str, Mapping[str, Figure]], lenient: Container[str] = ()
) -> list[str]:
    """Why `figures` do not pass `gates`; one that is `lenient` too looks only at what has a number."""
    found = []
    for text in gates:
        gate = Gate.parse(text)
        figure = figures.get(gate.family, {}).get(gate.name)
        unmeasured = figure is None or figure.value is None
        failure = None if unmeasured and text in lenient else gate.failure(figures)
        if failure is not None:
            found.append(failure)
    return found


def bound_of(text: str, number: str, metric: Metric) -> float:
    try:
        bound = float(number)
    except ValueError as error:
        raise RecipeError(f"gate {text!r}: {number!r} is not a number") from error
    if not math.isfinite(bound) or not metric.least <= bound <= metric.most:
        raise RecipeError(f"gate {text!r}: the bound must be a number between {metric.least:g} and {metric.most:g}")
    return bound


def known() -> str:
    by_family = {
        family: ", ".join(name for name, metric in METRICS.items() if family in metric.families and metric.sign)
        for family in (*OF_CONVERSIONS, BUNDLE)
    }
    return "; ".join(f"{family} has {names}" for family, names in by_family.items())


def canonical(text: str) -> str:
    try:
        return str(Gate.parse(text))
    except RecipeError as error:
        raise ValueError(str(error)) from error


#: A gate as a field of a pydantic model: a string, checked, with its family.
GateText = Annotated[str, AfterValidator(canonical)]
