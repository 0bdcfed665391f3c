"""Two bundles compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.figure import Record
from voxc.compiler.diff.build import (
    FileChange,
    OperatorChange,
    PlanChange,
    SettingChange,
    file_changes,
    operator_changes,
    plan_changes,
    setting_changes,
)
from voxc.compiler.diff.figures import FAILING, FigureChange, Tolerance, figure_changes
from voxc.compiler.manifest import Manifest


class Side(Record):
    bundle: str
    target: str
    status: str
    build_digest: str

    @classmethod
    def of(cls, directory: Path, manifest: Manifest) -> Side:
        return cls(
            bundle=str(directory),
            target=manifest.build.target.name,
            status=manifest.status,
            build_digest=manifest.build_digest,
        )


class Diff(Record):
    """What differs: files, operators, plans and settings that do, and all figures. `worse` says in words what `--gate`
    fails for."""

    old: Side
    new: Side
    same_build: bool
    settings: tuple[SettingChange, ...]
    files: tuple[FileChange, ...]
    operators: tuple[OperatorChange, ...]
    plan: tuple[PlanChange, ...]
    figures: tuple[FigureChange, ...]
    worse: tuple[str, ...]


def diff_bundles(old: Path, new: Path, tolerances: Mapping[str, Tolerance]) -> Diff:
    """Compares by the manifests and the plans.

    Raises:
        BundleError: one is not a bundle, or lacks its plan.
        RecipeError: a plan is not valid.
    """
    before, after = Bundle.open(old), Bundle.open(new)
    figures = figure_changes(before.manifest, after.manifest, tolerances)
    failed = after.manifest.failures if before.manifest.status == "passed" else ()
    return Diff(
        old=Side.of(old, before.manifest),
        new=Side.of(new, after.manifest),
        same_build=before.manifest.build_digest == after.manifest.build_digest,
        settings=setting_changes(before.manifest, after.manifest),
        files=file_changes(before.manifest, after.manifest),
        operators=operator_changes(before.manifest, after.manifest),
        plan=plan_changes(before, after),
        figures=figures,
        worse=(*failed, *(complaint(each) for each in figures if each.verdict in FAILING)),
    )


def complaint(change: FigureChange) -> str:
    assert change.old is not None, "what was not there cannot get worse"
    name = f"{change.part}.{change.name}"
    if change.new is None or change.new.value is None:
        return f"{name} was {change.old.value:.4g} {change.old.unit} and has no number now ({change.note})"
    return f"{name} went from {change.old.value:.4g} to {change.new.value:.4g} {change.new.unit}"
