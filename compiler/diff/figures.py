"""Figures of two bundles side by side, and which of them got worse."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Figure, Record
from voxc.compiler.core.gates import FIDELITY, METRICS, TASK
from voxc.compiler.manifest import Manifest
from voxc.compiler.totals import totals

Verdict = Literal["better", "worse", "same", "lost", "new", "incomparable", "unjudged"]
#: What `--gate` fails for.
FAILING: tuple[Verdict, ...] = ("worse", "lost")
TOLERANCE = re.compile(r"\s*(?P<name>\w+)\s*=\s*(?P<amount>[\d.]+|inf)\s*(?P<percent>%?)\s*")
BUNDLE, CONVERSION = "bundle", "conversion"
#: Units whose figures are told apart by a ratio; all others by a difference.
RATIOS = ("ms", "s", "x", "1/s", "MiB")


@dataclass(frozen=True)
class Tolerance:
    """How much worse a figure may be: an amount in its unit, or a percentage of what it was."""

    amount: float
    percent: bool = False

    def of(self, old: float) -> float:
        return abs(old) * self.amount / 100 if self.percent else self.amount

    def __str__(self) -> str:
        return f"{self.amount:g} %" if self.percent else f"{self.amount:g}"


#: By unit, for metrics of a conversion.
UNITS: Mapping[str, Tolerance] = {
    "dB": Tolerance(0.5), "ln": Tolerance(0.05), "cosine": Tolerance(0.02), "Pearson": Tolerance(0.02),
    "STOI": Tolerance(0.01), "fraction": Tolerance(0.02), "MOS": Tolerance(0.1), "MOS-LQO": Tolerance(0.1),
    "Hz": Tolerance(2), "cents": Tolerance(20),
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """How a figure is judged: which way is better, and by how much it may be worse."""

    sign: Literal[">=", "<="]
    tolerance: Tolerance


#: Figures by name. Times are judged for the whole bundle: those of small components are too short to be steady.
RULES: Mapping[str, Rule] = {
    "size_mib": Rule("<=", Tolerance(1, percent=True)),
    "latency_ms": Rule("<=", Tolerance(10, percent=True)),
    "speedup": Rule(">=", Tolerance(10, percent=True)),
    "memory_mib": Rule("<=", Tolerance(10, percent=True)),
    **{
        name: Rule(metric.sign, UNITS[metric.unit])
        for name, metric in METRICS.items()
        if metric.sign and metric.unit in UNITS
    },
}


class FigureChange(Record):
    """A figure of both bundles, or of one. `change` is new / old for times and sizes, new - old for the rest."""

    part: str
    name: str
    old: Figure | None
    new: Figure | None
    change: float | None
    verdict: Verdict
    note: str = ""

    @property
    def is_ratio(self) -> bool:
        unit = (self.new or self.old or Figure(value=None, unit="", evidence=None, how="")).unit
        return unit in RATIOS


def parse_tolerances(texts: Sequence[str]) -> dict[str, Tolerance]:
    """The tolerances of texts such as `latency_ms=30%` or `snr=1`.

    Raises:
        RecipeError: one is something else, or no such figure is judged.
    """
    result = {}
    for text in texts:
        match = TOLERANCE.fullmatch(text)
        try:
            amount = float(match["amount"]) if match else math.nan
        except ValueError:
            amount = math.nan
        if match is None or math.isnan(amount):
            raise RecipeError(f"--tolerance {text!r}: write it as 'latency_ms=30%' or 'snr=1'")
        if match["name"] not in RULES:
            raise RecipeError(f"--tolerance {text!r}: no figure {match['name']!r} is judged; {', '.join(RULES)} are")
        result[match["name"]] = Tolerance(amount, bool(match["percent"]))
    return result


def figure_changes(old: Manifest, new: Manifest, tolerances: Mapping[str, Tolerance]) -> tuple[FigureChange, ...]:
    """All figures of both, those of the whole bundle first."""
    before, after = dict(figures_of(old)), dict(figures_of(new))
    elsewhere = other_machine(old, new)
    return tuple(
        compared(part, name, before.get((part, name)), after.get((part, name)), tolerances, elsewhere)
        for part, name in dict.fromkeys((*before, *after))
    )


def figures_of(manifest: Manifest) -> Iterator[tuple[tuple[str, str], Figure]]:
    measured = manifest.measurements
    parts: dict[str, Mapping[str, Figure]] = {BUNDLE: totals(manifest)}
    if measured.conversion:
        conversion = measured.conversion
        parts |= {TASK: conversion.task, FIDELITY: conversion.fidelity, CONVERSION: conversion.steps}
    parts |= {name: component.figures for name, component in measured.components.items()}
    for run in measured.devices:
        parts |= {f"{name} on {run.host}": component.figures for name, component in run.components.items()}
    for part, figures in parts.items():
        for name, figure in figures.items():
            yield (part, name), figure


def other_machine(old: Manifest, new: Manifest) -> str:
    """Why times of the two do not compare; empty if they do."""
    before, after = old.measurements, new.measurements
    if before.machine.cpu != after.machine.cpu:
        return f"measured on {before.machine.cpu} and on {after.machine.cpu}"
    return "" if before.threads == after.threads else f"{before.threads} and {after.threads} threads"


def compared(
    part: str,
    name: str,
    old: Figure | None,
    new: Figure | None,
    tolerances: Mapping[str, Tolerance],
    elsewhere: str,
) -> FigureChange:
    before, after = old.value if old else None, new.value if new else None
    change = None
    if before is not None and after is not None:
        unit = new.unit if new else ""
        change = (after / before if before else None) if unit in RATIOS else after - before
    verdict, note = judged(part, name, old, new, tolerances, elsewhere)
    return FigureChange(part=part, name=name, old=old, new=new, change=change, verdict=verdict, note=note)


def judged(
    part: str,
    name: str,
    old: Figure | None,
    new: Figure | None,
    tolerances: Mapping[str, Tolerance],
    elsewhere: str,
) -> tuple[Verdict, str]:
    """The verdict on a figure, and why where that is not in the numbers."""
    rule = rule_for(part, name)
    if rule is None or ((old is None or old.value is None) and (new is None or new.value is None)):
        return "unjudged", ""
    if new is None or new.value is None:
        return lost(new)
    if old is None or old.value is None:
        return "new", ""
    if old.evidence != new.evidence:
        return "incomparable", f"{old.evidence} and {new.evidence}"
    if name == "latency_ms" and elsewhere and new.evidence != "estimate":
        return "incomparable", elsewhere
    tolerance = tolerances.get(name, rule.tolerance).of(old.value)
    gain = (new.value - old.value) * (1 if rule.sign == ">=" else -1)
    return ("worse" if gain < -tolerance else "better" if gain > tolerance else "same"), ""


def lost(new: Figure | None) -> tuple[Verdict, str]:
    """A figure without a number any more; that of equal outputs is infinite, and so not worse."""
    reason = "not in the new manifest" if new is None else new.how
    return ("better", reason) if reason.endswith("the outputs are equal") else ("lost", reason)


def rule_for(part: str, name: str) -> Rule | None:
    """The rule of a figure; None for what is only shown."""
    if part in (BUNDLE, TASK, FIDELITY):
        return RULES.get(name)
    return RULES["snr"] if name == "snr" and " on " not in part and part != CONVERSION else None
