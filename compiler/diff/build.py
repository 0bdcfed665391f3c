"""What was built, of two bundles: files, operators, plans, and what they follow from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.figure import Record
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.manifest import ComponentBuild, FileRecord, Manifest
from voxc.compiler.precision.plans import read_plans

#: How many names of nodes stand for all of them.
SHOWN_NODES = 5
#: Parts of a build that have sections of their own.
ELSEWHERE = ("plan", "components", "agent")


class FileChange(Record):
    """A file that one bundle lacks, or that differs."""

    path: str
    old: FileRecord | None
    new: FileRecord | None


class OperatorChange(Record):
    """How many operators of a kind there are, by what they compute in."""

    component: str
    operator: str
    precision: str
    old: int
    new: int


class PlanChange(Record):
    """Nodes of a component whose precision differs: how many, and the first names."""

    component: str
    old: str
    new: str
    nodes: int
    first: tuple[str, ...]


class SettingChange(Record):
    """A value of the build by its key, as `recipe.frames` or `tools.torch`; null where it is absent."""

    key: str
    old: Any
    new: Any


def file_changes(old: Manifest, new: Manifest) -> tuple[FileChange, ...]:
    before, after = ({file.path: file for file in manifest.files()} for manifest in (old, new))
    paths = dict.fromkeys((*before, *after))
    return tuple(
        FileChange(path=path, old=before.get(path), new=after.get(path))
        for path in paths
        if before.get(path) != after.get(path)
    )


def operator_changes(old: Manifest, new: Manifest) -> tuple[OperatorChange, ...]:
    before, after = (counted(manifest) for manifest in (old, new))
    return tuple(
        OperatorChange(
            component=component,
            operator=operator,
            precision=precision,
            old=before.get((component, operator, precision), 0),
            new=after.get((component, operator, precision), 0),
        )
        for component, operator, precision in sorted({**before, **after})
        if before.get((component, operator, precision)) != after.get((component, operator, precision))
    )


def counted(manifest: Manifest) -> dict[tuple[str, str, str], int]:
    return {
        (component.name, operator, precision): count
        for component in manifest.build.components
        for operator, counts in component.operators.items()
        for precision, count in counts.items()
    }


def plan_changes(old: Bundle, new: Bundle) -> tuple[PlanChange, ...]:
    """Nodes that the plans of both bundles speak of. Where a default differs, the counts of the manifests say what the
    other nodes do.

    Raises:
        BundleError: a bundle lacks its plan.
        RecipeError: a plan is not valid.
    """
    if old.manifest.build.plan.sha256 == new.manifest.build.plan.sha256:
        return ()
    before, after = (read_plans(bundle.path(bundle.manifest.build.plan)).components for bundle in (old, new))
    return tuple(
        change for component in before if component in after
        for change in moved(component, before[component], after[component])
    )  # fmt: skip


def moved(component: str, old: PrecisionPlan, new: PrecisionPlan) -> Iterator[PlanChange]:
    names: dict[tuple[str, str], list[str]] = {}
    for node in dict.fromkeys((*old.nodes, *new.nodes)):
        pair = old.precision(node), new.precision(node)
        if pair[0] != pair[1]:
            names.setdefault(pair, []).append(node)
    for (before, after), nodes in names.items():
        first = tuple(nodes[:SHOWN_NODES])
        yield PlanChange(component=component, old=before, new=after, nodes=len(nodes), first=first)


def setting_changes(old: Manifest, new: Manifest) -> tuple[SettingChange, ...]:
    """Values of the builds but for files, operators and plans; the nodes' precisions count among them."""
    before, after = (dict(settings(manifest)) for manifest in (old, new))
    return tuple(
        SettingChange(key=key, old=before.get(key), new=after.get(key))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )


def settings(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    document = manifest.build.model_dump(mode="json", exclude=set(ELSEWHERE))
    yield from flat(document, "")
    for component in manifest.build.components:
        yield from of_component(component)


def of_component(component: ComponentBuild) -> Iterator[tuple[str, Any]]:
    yield f"{component.name}.format", component.format
    yield f"{component.name}.min_snr_db", component.min_snr_db
    yield f"{component.name}.oldest_runtime", component.oldest_runtime
    yield f"{component.name}.passes", [done.name for done in component.passes if done.modified]
    for precision, count in component.precision_histogram.items():
        yield f"{component.name}.nodes in {precision}", count


def flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """The leaves of a document; lists are leaves."""
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, each in value.items():
        yield from flat(each, f"{key}.{name}" if key else name)
