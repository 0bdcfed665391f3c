"""A number and what it is worth: its unit, how it was obtained, and by which evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

#: How a number was obtained, from best to least:
#: `device` the real artifact on the real target; `host` the real artifact in its real runtime on the machine that
#: compiled it or on another that is not the target; `reference` the artifact's graph evaluated by voxc's interpreter;
#: `estimate` a model of the device.
Evidence = Literal["device", "host", "reference", "estimate"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Record):
    """One number, its unit, how it was obtained; or no number, and why."""

    value: float | None
    unit: str
    evidence: Evidence | None
    how: str

    @model_validator(mode="after")
    def a_number_has_evidence(self) -> Self:
        if (self.value is None) != (self.evidence is None):
            raise ValueError("a number needs evidence, and a missing one has none")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError("a number must be finite; a figure without one says why in `how`")
        return self


def runs_per_second(latency: Figure) -> Figure:
    """How many runs of a median latency in ms fit into a second; null, with its reason, where that is null."""
    if latency.value is None:
        return latency.model_copy(update={"unit": "1/s"})
    rate = 1e3 / latency.value if latency.value else math.inf
    return figure(rate, "1/s", "1000 / latency_median", "no time passed", latency.evidence or "host")


def without_repetition(figures: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """Figures by name; those without a number for the same reason are one, with all their names."""
    names: dict[str, list[str]] = {}
    for name, each in figures.items():
        names.setdefault(f"null: {each.how}" if each.value is None else f"name: {name}", []).append(name)
    return [(", ".join(group), figures[group[0]]) for group in names.values()]


def figure(value: float, unit: str, how: str, otherwise: str = "", evidence: Evidence = "host") -> Figure:
    """A figure of six digits, or none and `otherwise` where the value is not finite."""
    if not math.isfinite(value):
        return Figure(value=None, unit=unit, evidence=None, how=f"{how}: {otherwise}")
    return Figure(value=float(f"{value:.6g}"), unit=unit, evidence=evidence, how=how)
