"""The figures of a bundle as a whole, from those of its components: what gates, comparisons and reports look at."""

from __future__ import annotations

from collections.abc import Mapping

from voxc.compiler.core.figure import Evidence, Figure, figure, runs_per_second
from voxc.compiler.core.gates import BUNDLE, FIDELITY, TASK
from voxc.compiler.manifest import ComponentBuild, DeviceRun, Manifest

MEBIBYTE = 1 << 20
#: From best to least.
ORDER: tuple[Evidence, ...] = ("device", "host", "reference", "estimate")
HOW_TO_MEASURE_MEMORY = "not measured; `voxc measure` does"


def totals(manifest: Manifest) -> dict[str, Figure]:
    """`size_mib` of all artifacts; `latency_ms` and `runs_per_second` of all components once, one after the other;
    `speedup` to eager PyTorch; `memory_mib` of the agent that ran them. What has no number says why."""
    latency = latency_of(manifest)
    return {
        "size_mib": size_of(manifest.build.components),
        "latency_ms": latency,
        "runs_per_second": runs_per_second(latency),
        "speedup": speedup_of(manifest),
        "memory_mib": memory_of(manifest.measurements.devices),
    }


def gated_figures(manifest: Manifest) -> dict[str, Mapping[str, Figure]]:
    """All that gates may look at, by family and name."""
    conversion = manifest.measurements.conversion
    figures: dict[str, Mapping[str, Figure]] = {BUNDLE: totals(manifest)}
    if conversion:
        figures |= {TASK: conversion.task, FIDELITY: conversion.fidelity}
    return figures


def size_of(components: tuple[ComponentBuild, ...]) -> Figure:
    size = sum(file.bytes for component in components for file in component.files)
    how = f"{size} bytes in the files of {', '.join(component.name for component in components)}"
    return figure(size / MEBIBYTE, "MiB", how)


def latency_of(manifest: Manifest) -> Figure:
    """The sum of what was measured, or of estimates where nothing was."""
    measured = {name: each.figures for name, each in manifest.measurements.components.items()}
    exact = total(measured, "latency_median", "ms")
    estimated = total(measured, "latency_estimate", "ms")
    return estimated if exact.value is None and estimated.value is not None else exact


def speedup_of(manifest: Manifest) -> Figure:
    measured = {name: each.figures for name, each in manifest.measurements.components.items()}
    if len(measured) == 1:
        (figures,) = measured.values()
        return figures.get("speedup", missing("x", "not in the manifest"))
    latency, eager = total(measured, "latency_median", "ms"), total(measured, "eager_latency_median", "ms")
    without = next((each for each in (latency, eager) if each.value is None), None)
    if without is not None or not latency.value or not eager.value:
        return missing("x", "not in the manifest" if without is None else without.how)
    how = f"eager_latency_median / latency_median of all components: {eager.value:.4g} / {latency.value:.4g} ms"
    return figure(eager.value / latency.value, "x", how, evidence=latency.evidence or "host")


def total(measured: Mapping[str, Mapping[str, Figure]], name: str, unit: str) -> Figure:
    """The sum of a figure over the components; null where one has none."""
    figures = {component: figures.get(name) for component, figures in measured.items()}
    reasons = {name: each.how if each else "not in the manifest"
               for name, each in figures.items() if each is None or each.value is None}  # fmt: skip
    if reasons:
        first, reason = next(iter(reasons.items()))
        everywhere = len(reasons) == len(figures) and len(set(reasons.values())) == 1
        return missing(unit, reason if everywhere else f"{first}: {reason}")
    values, shown, evidence = 0.0, [], set()
    for component, each in figures.items():
        if each is None or each.value is None or each.evidence is None:
            continue
        values += each.value
        evidence.add(each.evidence)
        shown.append(f"{component} {each.value:.4g}")
    (only, *others) = [each for each in figures.values() if each is not None]
    how = f"{' + '.join(shown)} {unit}" if others else only.how
    return figure(values, unit, how, evidence=max(evidence, key=ORDER.index))


def memory_of(runs: tuple[DeviceRun, ...]) -> Figure:
    """The latest run of the best evidence."""
    if not runs:
        return missing("MiB", HOW_TO_MEASURE_MEMORY)
    return min(reversed(runs), key=lambda run: ORDER.index(run.evidence)).peak_memory


def missing(unit: str, reason: str) -> Figure:
    return Figure(value=None, unit=unit, evidence=None, how=reason)
