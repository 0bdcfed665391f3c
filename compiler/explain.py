"""Where the operators of a bundle run: as a backend's rules predict it, or as the device itself reports."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from voxc.backends import find_backend
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.runner import Placement
from voxc.compiler.manifest import ComponentBuild, DeviceRun

PREDICTION = "prediction"


@dataclass(frozen=True)
class Explanation:
    """The operators of one component, in order. `basis` is `prediction`, or the device that reported where they run;
    `rewritten` are the notes of passes that changed the graph."""

    component: str
    basis: str
    placements: tuple[Placement, ...]
    rewritten: tuple[str, ...] = ()

    @property
    def predicted(self) -> bool:
        return self.basis == PREDICTION


def explain_bundle(directory: Path) -> tuple[Explanation, ...]:
    """One explanation for each component.

    Raises:
        BundleError: not a bundle, or its files are not those of its manifest.
        UnsupportedError: there are no rules for the target.
    """
    bundle = Bundle.open(directory)
    return tuple(explain_component(bundle, component) for component in bundle.manifest.build.components)


def explain_component(bundle: Bundle, component: ComponentBuild) -> Explanation:
    complaints = [complaint for file in component.files if (complaint := bundle.complaint(file))]
    if complaints:
        raise BundleError(complaints[0])
    target = bundle.manifest.build.target
    predicted = find_backend(target.backend).explain(bundle.path(component.files[0]), target)
    for run in sorted(bundle.manifest.measurements.devices, key=lambda run: run.created, reverse=True):
        if run.evidence == "device" and component.name in run.components and run.components[component.name].placements:
            return measured(component, predicted, run)
    return Explanation(component.name, PREDICTION, predicted, rewritings(component))


def rewritings(component: ComponentBuild) -> tuple[str, ...]:
    return tuple(f"{done.name}: {note}" for done in component.passes if done.modified for note in done.notes)


def measured(component: ComponentBuild, predicted: tuple[Placement, ...], run: DeviceRun) -> Explanation:
    """The operators where a device reported to run them; reasons are known only where the rules agree with it.

    An operator that it did not report has no place: it may have become a part of another one.
    """
    places = run.components[component.name].placements

    def placed(each: Placement) -> Placement:
        where = places.get(each.name, "?")
        agrees = where == each.where
        return replace(
            each, where=where, why=each.why if agrees else "", fix=each.fix if agrees else "", generations={}
        )

    basis = f"{run.host}, {run.created}"
    return Explanation(component.name, basis, tuple(map(placed, predicted)), rewritings(component))


def shares(placements: tuple[Placement, ...], place: Callable[[Placement], str]) -> dict[str, tuple[int, int]]:
    """Operators and multiply-accumulates by where they run, the place with most of the latter first."""
    operators, macs = Counter[str](), Counter[str]()
    for each in placements:
        operators[place(each)] += 1
        macs[place(each)] += each.macs
    return {where: (operators[where], count) for where, count in macs.most_common()}


def generations(placements: tuple[Placement, ...]) -> dict[str, dict[str, tuple[int, int]]]:
    """The same by generation of the hardware, if the rules distinguish them."""
    names = dict.fromkeys(name for each in placements for name in each.generations)
    return {name: shares(placements, functools.partial(place_on, name)) for name in names}


def place_on(generation: str, placement: Placement) -> str:
    return placement.generations.get(generation, placement.where)
