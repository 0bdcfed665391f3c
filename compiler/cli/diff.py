"""`voxc diff`: what differs between two bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json
from voxc.compiler.core.errors import QualityError

if TYPE_CHECKING:
    from voxc.compiler.diff.bundles import Diff
    from voxc.compiler.diff.figures import FigureChange
    from voxc.compiler.manifest import FileRecord

DIGITS = 12


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A bundle directory.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another.", show_default=False)],
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 1 if a figure got worse by more than its tolerance.")
    ] = False,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIGURE=AMOUNT",
            help="How much worse a figure may be, in its unit or in %: 'latency_ms=30%', 'snr=1', 'speedup=inf'; "
            "several times. (default: size 1 %; latency, speedup and memory 10 %; SNR 0.5 dB; the docs have the rest)",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Show what differs between two bundles: build, files, operators, plan and figures."""
    from voxc.compiler.diff.bundles import diff_bundles
    from voxc.compiler.diff.figures import parse_tolerances

    result = diff_bundles(old, new, parse_tolerances(tolerance or ()))
    if json:
        print_json(result.model_dump(mode="json"))
    else:
        print_diff(result)
    if gate and result.worse:
        raise QualityError(f"{new}: worse than {old}: {'; '.join(result.worse)}")


def print_diff(result: Diff) -> None:
    from voxc.compiler.terminal import show, table

    for side, mark in ((result.old, "old"), (result.new, "new")):
        show(f"{mark}: {side.bundle}, {side.target}, {side.status}, build {side.build_digest[:DIGITS]}")
    if result.same_build:
        show("the builds are the same")
    sections = (
        ("Build", ("what", "old", "new"), [(each.key, brief(each.old), brief(each.new)) for each in result.settings]),
        ("Files", ("file", "old", "new"), [(each.path, file(each.old), file(each.new)) for each in result.files]),
        ("Operators", ("component", "operator", "computes in", "old", "new"), [
            (each.component, each.operator, each.precision, str(each.old), str(each.new)) for each in result.operators
        ]),
        ("Plan", ("component", "old", "new", "nodes", "first of them"), [
            (each.component, each.old, each.new, str(each.nodes), ", ".join(each.first)) for each in result.plan
        ]),
        ("Figures", ("of", "figure", "old", "new", "change", ""), [row(each) for each in shown(result)]),
    )  # fmt: skip
    for title, columns, rows in sections:
        if rows:
            show(table(f"\n{title}", columns, rows))
    others = sum(each.verdict == "unjudged" and each.old != each.new for each in result.figures)
    if others:
        show(f"\n{others} other figures differ; --json has them")


def shown(result: Diff) -> list[FigureChange]:
    return [each for each in result.figures if each.verdict != "unjudged"]


def row(change: FigureChange) -> tuple[str, ...]:
    from voxc.compiler.terminal import format_figure

    old, new = (format_figure(each) if each else "-" for each in (change.old, change.new))
    verdict = "WORSE" if change.verdict == "worse" else "LOST" if change.verdict == "lost" else change.verdict
    note = f" ({change.note})" if change.note else ""
    return change.part, change.name, old, new, difference(change), f"{verdict}{note}"


def difference(change: FigureChange) -> str:
    if change.change is None:
        return "-"
    return f"x {change.change:.3f}" if change.is_ratio else f"{change.change:+.3g}"


def file(record: FileRecord | None) -> str:
    return "-" if record is None else f"{record.bytes} bytes, {record.sha256[:DIGITS]}"


def brief(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
