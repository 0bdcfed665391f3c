"""From the agent's document to the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from voxc.compiler.core.figure import Evidence, Figure, runs_per_second
from voxc.compiler.device.report import AgentReport, ComponentReport
from voxc.compiler.manifest import (
    ComponentBuild,
    ComponentMeasurements,
    DeviceComponent,
    DeviceRun,
    EngineBuild,
    Manifest,
    TargetRecord,
)

#: Figures that were timed in turn with eager PyTorch, and stay beside it.
PACED = ("latency_median", "latency_p90", "latency_p99", "latency_min", "runs_per_second", "real_time_factor")


def device_run(
    manifest: Manifest, report: AgentReport, created: str, engines: Mapping[str, EngineBuild] | None = None
) -> DeviceRun:
    """One run of the agent with its figures; `created` is the time, as ISO 8601 has it. `engines` are those that it
    used, by component."""
    build = manifest.build
    evidence: Literal["device", "host"] = "device" if is_target(build.target, report.machine.model) else "host"
    how = ", ".join(
        [
            *(f"{package} {version}" for package, version in sorted(report.runtime.items())),
            *(f"{name} {value}" for name, value in report.settings.items()),
            f"on {report.host}" + f" ({report.machine.model})" * bool(report.machine.model),
        ]
    )
    rate = build.components[-1].frame_rate
    seconds = build.recipe.frames / rate if rate else None
    return DeviceRun(
        created=created,
        host=report.host,
        evidence=evidence,
        machine=report.machine,
        conditions=report.conditions,
        runtime=report.runtime,
        settings=report.settings,
        peak_memory=Figure(
            value=float(f"{report.peak_memory_mib:.6g}"),
            unit="MiB",
            evidence=evidence,
            how=f"{how}; largest resident set of the agent, one component at a time",
        ),
        components={
            name: DeviceComponent(
                figures=figures(manifest.component(name), found, seconds, how, evidence),
                placements=found.placements,
                engine=(engines or {}).get(name),
            )
            for name, found in report.components.items()
        },
    )


def is_target(target: TargetRecord, model: str) -> bool:
    """Whether a machine whose maker calls it `model` is what the bundle is for. Bundles of before targets named their
    machine say only whether any would do."""
    capabilities = target.capabilities
    if "machine" not in capabilities:
        return bool(capabilities.get("any_host"))
    machine = capabilities["machine"]
    return machine is None or str(machine) in model


def figures(
    component: ComponentBuild, found: ComponentReport, seconds: float | None, how: str, evidence: Evidence
) -> dict[str, Figure]:
    """A component's figures; `seconds` of audio are in its segment, None without time."""
    unit = component.outputs[0].unit
    against = f"{how}; against float32 PyTorch, same inputs and noise"
    timed = f"{how}; {found.runs} runs after {found.warm_up} warm-ups"

    def figure(value: float | None, unit: str, how: str, otherwise: str = "") -> Figure:
        if value is None or not math.isfinite(value):
            return Figure(value=None, unit=unit, evidence=None, how=f"{how}: {otherwise}")
        return Figure(value=float(f"{value:.6g}"), unit=unit, evidence=evidence, how=how)

    shares: dict[str, float | None] = {place.lower(): share * 100 for place, share in found.cost_shares.items()}
    if found.no_placements:
        shares = {"ane": None}
    built = found.engine if found.engine is not None and found.engine.build_s is not None else None
    equal = "the outputs are equal" if found.passed else "the output is not finite"
    ratio = "the network has no time axis"
    if seconds is not None:
        ratio = f"latency_median / {seconds:g} s of audio; below 1 is faster than real time"
    factor = None if seconds is None else found.latency_ms.median / 1e3 / seconds
    latencies = {f"latency_{name}": figure(ms, "ms", timed) for name, ms in found.latency_ms.model_dump().items()}
    return {
        "snr": figure(found.snr_db, "dB", against, equal),
        "max_abs_error": figure(found.max_abs_error, unit, against, equal),
        "mean_abs_error": figure(found.mean_abs_error, unit, against, equal),
        **latencies,
        "runs_per_second": runs_per_second(latencies["latency_median"]),
        "real_time_factor": figure(factor, "x", ratio),
        "load_time": figure(found.load_s, "s", f"{how}; from the file to the first run"),
        **(
            {"build_time": figure(built.build_s, "s", f"{how}; {built.workspace_mib} MiB of workspace")}
            if built
            else {}
        ),
        **{
            f"cost_on_{place}": figure(share, "%", f"{how}; MLComputePlan's estimate", found.no_placements)
            for place, share in shares.items()
        },
    }


def merged(manifest: Manifest, run: DeviceRun) -> Manifest:
    """The manifest with a run in it, in the place of an earlier one by the same host and settings.

    The device's figures also take the place of a component's own, which are of lesser evidence or have no number; but
    times that stand beside those of eager PyTorch stay with them, as a ratio over two machines would say nothing.
    """
    others = [each for each in manifest.measurements.devices if (each.host, each.settings) != (run.host, run.settings)]
    components = dict(manifest.measurements.components)
    if run.evidence == "device":
        for name, found in run.components.items():
            components[name] = with_figures(components[name], found)
    measurements = manifest.measurements.model_copy(update={"devices": (*others, run), "components": components})
    return manifest.model_copy(update={"measurements": measurements})


def with_figures(measured: ComponentMeasurements, found: DeviceComponent) -> ComponentMeasurements:
    kept = PACED if "eager_latency_median" in measured.figures else ()
    newer = {name: figure for name, figure in found.figures.items() if name not in kept}
    return measured.model_copy(update={"figures": {**measured.figures, **newer}})


def failures(manifest: Manifest, report: AgentReport) -> list[str]:
    """What differs from the reference by more than its bound, in words."""
    failed = [(manifest.component(name), found) for name, found in report.components.items() if not found.passed]
    return [
        f"{component.name}: the output is not finite"
        if found.snr_db is None
        else f"{component.name}: SNR to float32 PyTorch is {found.snr_db:.1f} dB, below {component.min_snr_db:g} dB"
        for component, found in failed
    ]
