"""What `voxc explain` prints: a table of operators, and shares of the work by where they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from voxc.compiler.core.runner import Placement
from voxc.compiler.explain import Explanation, generations, shares
from voxc.compiler.terminal import table

PREDICTED = "a prediction from rules and their sources, not a measurement; `voxc measure` on the device replaces it"


def report(explanation: Explanation, brief: bool) -> list[object]:
    """A component: all operators, or with `brief` only the kinds that run elsewhere; then the shares."""
    basis = PREDICTED if explanation.predicted else f"as measured on {explanation.basis}"
    rows = kinds(explanation) if brief else everything(explanation)
    lines = [*columns(rows), *rewritten(explanation), *sources(explanation)]
    return [f"\n{explanation.component}: {basis}", *lines, "", share_table(explanation)]


def rewritten(explanation: Explanation) -> list[str]:
    return ["\nrewritten by passes:", *(f"  {note}" for note in explanation.rewritten)] if explanation.rewritten else []


def sources(explanation: Explanation) -> list[str]:
    names = sorted({source for each in explanation.placements for source in each.sources})
    return ["\nsources of the rules:", *(f"  {source}" for source in names)] if names else []


def everything(explanation: Explanation) -> list[tuple[str, ...]]:
    return [
        ("where", "operator", "name", "million MACs", "why"),
        *((each.where, each.op, each.name, millions(each.macs), reason(each)) for each in explanation.placements),
    ]


def kinds(explanation: Explanation) -> list[tuple[str, ...]]:
    """Operators that have a reason, grouped by it."""
    groups: dict[tuple[str, ...], list[Placement]] = {}
    for each in explanation.placements:
        if each.why:
            groups.setdefault((each.where, each.op, reason(each)), []).append(each)
    return [
        ("where", "operator", "how many", "million MACs", "why"),
        *(
            (where, op, str(len(group)), millions(sum(each.macs for each in group)), why)
            for (where, op, why), group in groups.items()
        ),
    ]


def reason(placement: Placement) -> str:
    return f"{placement.why} (would help: {placement.fix})" if placement.why and placement.fix else placement.why


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines that are never cut, however wide they are, so that people can search in them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def share_table(explanation: Explanation) -> object:
    by_generation = generations(explanation.placements) or {"": shares(explanation.placements, lambda each: each.where)}
    rows = [
        (name, where, str(operators), f"{percent(macs, total)} of {total / 1e9:.3g} G")
        for name, places in by_generation.items()
        for total in [sum(macs for _, macs in places.values())]
        for where, (operators, macs) in places.items()
    ]
    return table("", ("generation", "where", "operators", "MACs"), rows)


def document(explanation: Explanation) -> dict[str, Any]:
    """The same for programs."""

    def as_mappings(places: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
        return {where: {"operators": operators, "macs": macs} for where, (operators, macs) in places.items()}

    return {
        "component": explanation.component,
        "basis": explanation.basis,
        "rewritten": list(explanation.rewritten),
        "shares": as_mappings(shares(explanation.placements, lambda each: each.where)),
        "generations": {name: as_mappings(places) for name, places in generations(explanation.placements).items()},
        "operators": [asdict(each) for each in explanation.placements],
    }


def millions(macs: int) -> str:
    return f"{macs / 1e6:.3g}" if macs else ""


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
