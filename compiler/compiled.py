"""A component, compiled for a target: emitted, run, compared and timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voxc.compiler.bundle import REFERENCE_NAME
from voxc.compiler.core.cost import integer_figures
from voxc.compiler.core.figure import Figure, figure
from voxc.compiler.core.plan import Precision, PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.runner import Runner, Runtime
from voxc.compiler.core.tensor import write_npz
from voxc.compiler.describe import describe_component
from voxc.compiler.fallback.build import build_fallback
from voxc.compiler.job import Job
from voxc.compiler.manifest import ComponentBuild, ComponentMeasurements, FileRecord
from voxc.compiler.measure.bounds import least_snr, missed
from voxc.compiler.measure.estimate import estimate_figures
from voxc.compiler.measure.figures import Floats, component_fidelity, latency_figures, missing_latency
from voxc.compiler.stages.work import Part
from voxc.passes.source.hoist_noise import HoistNoise


@dataclass(frozen=True)
class Compiled:
    """One component for one target, ready to run in `runtime`; `failures` is what fell short, `searches` tells of its
    plan."""

    build: ComponentBuild
    plan: PrecisionPlan
    searches: tuple[FileRecord, ...]
    measurements: ComponentMeasurements
    runner: Runner
    runtime: Runtime
    failures: tuple[str, ...]


def compile_part(job: Job, part: Part, staging: Path) -> Compiled:
    """Precision, emission, numerical check and measurement of one component, after the target's passes.

    Raises:
        VoxcError: see `Job.decide` and `Job.emit`; or what was emitted does not run.
    """
    name, backend = part.component.name, job.backend
    decision = job.decide(part)
    planned, program = decision.program, job.decider.quantize(decision.program)
    lengths = [job.at_length(length, planned) for length in part.lengths]
    job.begin(f"{name}: emitting")
    artifact = job.artifact(part, program, planned.plan, staging, lengths)
    job.begin(f"{name}: checking")
    backend.require(backend.run_needs, f"check what was emitted for {job.target.name}")
    runner, runtime = backend.load(artifact.files[0], job.threads), job.runtime
    figures = measure(job, part, runner, planned)
    rehearsal = backend.rehearse(artifact.files[0], job.threads)
    if rehearsal is not None:
        runner, runtime = rehearsal.runner, rehearsal.runtime
        figures["snr_rehearsed"] = fidelity(part, runner, runtime)["snr"]
    if figures["latency_median"].value is None:
        figures |= estimate_figures(planned, job.target)
    bound = least_snr(planned.plan, job.target, job.request.precision)
    build = describe_component(
        part.component, planned, program, artifact, staging, bound,
        several=bool(lengths), fallback=write_fallback(job, part, staging),
    )  # fmt: skip
    others = {**distance(part), **integer_figures(planned), **decision.figures, **part.component.figures}
    seconds = {done.name: figure(done.seconds, "s", "wall clock") for done in program.history}
    return Compiled(
        build,
        planned.plan,
        tuple(FileRecord.of(staging, file) for file in decision.write(staging)),
        ComponentMeasurements(figures={**figures, **others}, passes=seconds),
        runner,
        runtime,
        missed(name, figures, bound),
    )


def measure(job: Job, part: Part, runner: Runner, planned: Program) -> dict[str, Figure]:
    """Runs an artifact in its runtime: fidelity always, latency where any machine is such a target. `planned` is the
    program before quantization."""
    figures = fidelity(part, runner, job.runtime)
    for length in part.lengths:
        figures[f"snr_{length.program.frames}_frames"] = fidelity(length, runner, job.runtime)["snr"]
    step = f"{part.component.name}: measuring"
    job.begin(step)
    if job.why_no_latency:
        return figures | missing_latency(job.why_no_latency)
    rate = part.component.frame_rate
    return figures | latency_figures(
        part.component, runner.run, part.inputs, in_floats(job, planned),
        runtime=job.runtime.description, threads=job.threads,
        seconds_of_audio=None if rate is None else part.program.frames / rate,
        tick=lambda detail: job.report(f"{step}, {detail}"),
    )  # fmt: skip


def fidelity(part: Part, runner: Runner, runtime: Runtime) -> dict[str, Figure]:
    """How close an artifact in a runtime comes to float32 PyTorch on a part's reference inputs."""
    how = f"{runtime.description} against float32 PyTorch, same inputs and noise, {part.program.frames} frames"
    return component_fidelity(part.component, part.expected, runner.run(part.inputs), how, runtime.evidence)


def distance(part: Part) -> dict[str, Figure]:
    """How far stages have moved a component from the unchanged one; nothing without stages."""
    if part.changed is None:
        return {}
    how = "the network after its stages against the unchanged one, float32 PyTorch, same inputs and noise"
    figures = component_fidelity(part.component, part.outputs, part.changed, how, "host")
    return {f"unchanged_{name}": each for name, each in figures.items()}


def in_floats(job: Job, planned: Program) -> Floats | None:
    """What integers have to beat: the same network in the target's floats; None without integers to time."""
    if not any(planned.plan.is_written(node) for node in planned.plan.nodes):
        return None
    precision: Precision = "fp16" if job.target.arithmetic == "float16" else "fp32"
    return Floats(precision, job.load(replace(planned, plan=PrecisionPlan(default=precision))).run)


def write_fallback(job: Job, part: Part, staging: Path) -> tuple[Path, ...]:
    """The files of a component for PyTorch, which runs it where its artifact fails; none if they are not wanted."""
    if part.fallback is None:
        return ()
    job.report(f"{part.component.name}: writing its fallback")
    program = HoistNoise()(part.fallback, job.target).program
    cases = [(each.inputs, each.outputs) for each in (part, *part.lengths)]
    return build_fallback(program, cases, staging, job.threads)


def write_references(staging: Path, parts: Sequence[Part]) -> FileRecord:
    path = staging / REFERENCE_NAME
    tensors = {
        f"{part.component.name}/{name}": array
        for part in parts
        for name, array in {**part.inputs, **part.expected}.items()
    }
    write_npz(path, tensors)
    return FileRecord.of(staging, path)
