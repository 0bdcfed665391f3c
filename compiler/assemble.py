"""The manifest of a bundle, of what was compiled and measured for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from voxc.compiler.compiled import Compiled, write_references
from voxc.compiler.core.figure import figure
from voxc.compiler.core.gates import FIDELITY, Gate, failures
from voxc.compiler.core.machine import peak_memory_mib, this_machine, tool_versions
from voxc.compiler.describe import describe_source
from voxc.compiler.device.measure import MeasureOptions, measure_bundle
from voxc.compiler.device.pack import ship_agent
from voxc.compiler.job import Job
from voxc.compiler.manifest import (
    Build,
    Conversion,
    FileRecord,
    Manifest,
    Measurements,
    RecipeRecord,
    StageBuild,
    TargetRecord,
    write_manifest,
)
from voxc.compiler.precision.plans import Plans, write_plans
from voxc.compiler.totals import gated_figures

#: As many as the largest resident set needs to settle.
MEMORY_RUNS = 5


def assemble(
    job: Job, compiled: Sequence[Compiled], conversion: Conversion | None, staging: Path, why: str, seconds: float
) -> Manifest:
    """Writes the plan, the reference tensors and, into kits, the agent; gives the manifest, before `judged` has looked
    at its gates. `why` says what the length of segments follows from, `seconds` is what the compile took so far."""
    build = built(job, compiled, staging, why)
    failed = tuple(failure for each in compiled for failure in each.failures)
    return Manifest(
        status="failed" if failed else "passed",
        failures=failed,
        build_digest=build.digest(),
        build=build,
        measurements=measured(job, compiled, conversion, staging, seconds),
    )


def judged(job: Job, manifest: Manifest) -> Manifest:
    """The manifest with its verdict. The target's own gates are for what has a number."""
    failed = (*manifest.failures, *failures(gates(job), gated_figures(manifest), lenient=job.target.gates))
    return manifest.model_copy(update={"status": "failed" if failed else "passed", "failures": failed})


def with_memory(job: Job, manifest: Manifest, staging: Path) -> Manifest:
    """The manifest with a run by the agent in a process of its own, which says how much memory the bundle takes; as it
    is where that would say nothing about the target.

    Raises:
        VoxcError: see `measure_bundle`.
    """
    if job.why_no_latency:
        return manifest
    job.report("measuring memory")
    write_manifest(staging, manifest)
    run = measure_bundle(staging, MeasureOptions(threads=job.threads, runs=MEMORY_RUNS)).run
    return manifest.model_copy(update={"measurements": manifest.measurements.model_copy(update={"devices": (run,)})})


def built(job: Job, compiled: Sequence[Compiled], staging: Path, why: str) -> Build:
    plans = Plans(
        target=job.target.name,
        policy=job.decider.policy,
        components={each.build.name: each.plan for each in compiled},
    )
    return Build(
        tools=tool_versions(need.package for need in job.backend.emit_needs),
        source=describe_source(job.work.model),
        target=TargetRecord.of(job.target),
        recipe=RecipeRecord(
            frames=job.work.frames,
            lengths=job.request.lengths,
            why_frames=why,
            dynamic=job.request.dynamic,
            precision=plans.policy,
            gates=gates(job),
        ),
        voice=job.work.model.settings,
        plan=FileRecord.of(staging, write_plans(staging, plans)),
        components=tuple(each.build for each in compiled),
        agent=ship_agent(job.backend, staging) if job.backend.kit else None,
        stages=tuple(StageBuild(name=done.name, options=done.options, notes=done.notes) for done in job.work.records),
    )


def measured(
    job: Job, compiled: Sequence[Compiled], conversion: Conversion | None, staging: Path, seconds: float
) -> Measurements:
    calibrated = job.request.precision.plan is None and any(each.plan.ranges for each in compiled)
    return Measurements(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=this_machine(),
        threads=job.threads,
        compile={
            "seconds": figure(seconds, "s", "wall clock from the checkpoint to this manifest"),
            "peak_memory": figure(peak_memory_mib(), "MiB", "largest resident set of the compiling process"),
        },
        reference=write_references(staging, job.work.parts),
        components={each.build.name: each.measurements for each in compiled},
        calibration=job.calibration.found.source if calibrated else None,
        searches=tuple(file for each in compiled for file in each.searches),
        conversion=conversion,
        stages={done.name: figure(done.seconds, "s", "wall clock") for done in job.work.records},
    )


def gates(job: Job) -> tuple[str, ...]:
    """What the target holds every conversion to, and what was requested. A network that stages have changed does not
    have to sound like the unchanged one, unless that is requested."""
    own = [text for text in job.target.gates if not job.work.records or Gate.parse(text).family != FIDELITY]
    return tuple(dict.fromkeys([*own, *(str(Gate.parse(text)) for text in job.request.gates)]))


def gates_memory(job: Job) -> bool:
    return any(Gate.parse(text).name == "memory_mib" for text in gates(job))
