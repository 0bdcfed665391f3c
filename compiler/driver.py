"""The one module that knows families, passes and backends: a checkpoint in, bundles out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from voxc.backends import find_backend
from voxc.backends.base import Backend
from voxc.compiler.bundle import REFERENCE_NAME, refuse_to_overwrite, staged
from voxc.compiler.errors import CheckpointError, PassError, RecipeError
from voxc.compiler.families import load_voice
from voxc.compiler.manifest import (
    Build,
    ComponentBuild,
    ComponentMeasurements,
    Figure,
    FileRecord,
    Manifest,
    Measurements,
    PassNote,
    Recipe,
    Source,
    TargetRecord,
    Voice,
    sha256_of_file,
    write_manifest,
)  # fmt: skip
from voxc.compiler.measure.fidelity import max_abs_error
from voxc.compiler.measure.figures import fidelity_figures, latency_figures, missing_latency
from voxc.compiler.measure.machine import peak_memory_mib, this_machine, tool_versions, usable_cores
from voxc.compiler.plan import Precision, PrecisionPlan
from voxc.compiler.program import Component, Program, VoiceModel, export
from voxc.compiler.target import Target
from voxc.compiler.tensor import Array, write_npz
from voxc.passes.pipeline import pipeline

DEFAULT_SEGMENT_SECONDS = 2.0
MAX_FRAMES = 1 << 16
# What a correct lowering reaches with room to spare, and a wrong one does not.
LEAST_SNR_DB: Mapping[Precision, float] = {"fp32": 60.0}

Report = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What to compile, for what, and how.

    `output` is the bundle for one target, and the directory of bundles for several; without it the bundle is named
    after the model and the target. At most one of `segment` (seconds) and `frames` is given. `threads` of None are the
    target's.
    """

    model: Path
    targets: tuple[Target, ...]
    output: Path | None = None
    segment: float | None = None
    frames: int | None = None
    precision: str | None = None
    dynamic: bool = False
    threads: int | None = None
    verify_passes: bool = False


@dataclass(frozen=True)
class Reference:
    """One component's reference tensors: inputs and noise, and what float32 PyTorch makes of them."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


@dataclass(frozen=True)
class Compiled:
    """One component for one target."""

    build: ComponentBuild
    measurements: ComponentMeasurements
    failures: tuple[str, ...]


def compile_voice(request: Request, report: Report = lambda message: None) -> list[tuple[Path, Manifest]]:
    """Compiles a voice for each target; gives the bundles and their manifests in the order of the targets.

    A bundle that misses its numerical bound is written and marked as failed; the caller decides what that means.

    Raises:
        VoxcError: see `compiler/errors.py`; then no bundle of the failing target is left.
    """
    for target in request.targets:
        check_request(request, target)
    for place in destinations(request):
        refuse_to_overwrite(place)
    report(f"loading {request.model.name}")
    voice = load_voice(request.model)
    source = describe_source(request.model, voice)
    frames = segment_frames(request, voice)
    report(f"exporting {frames} frames ({frames / voice.frame_rate:g} s)")
    programs = [export(component, frames, request.dynamic) for component in voice.components]
    references = {component.name: make_reference(component, frames) for component in voice.components}
    return [
        (place, compile_for(request, target, place, voice, source, programs, references, report))
        for target, place in zip(request.targets, destinations(request), strict=True)
    ]


def compile_for(
    request: Request,
    target: Target,
    place: Path,
    voice: VoiceModel,
    source: Source,
    programs: list[Program],
    references: dict[str, Reference],
    report: Report,
) -> Manifest:
    """Compiles every component for one target into the bundle at `place`."""
    started = time.perf_counter()
    threads = request.threads or target.threads or usable_cores()
    with staged(place) as staging:
        compiled = [
            compile_component(
                request, target, staging, voice, component, program, references[component.name], threads, report
            )
            for component, program in zip(voice.components, programs, strict=True)
        ]
        build = Build(
            tools=tool_versions(),
            source=source,
            target=TargetRecord.of(target),
            recipe=Recipe(frames=programs[0].frames, dynamic=request.dynamic, precision=precision_for(request, target)),
            voice=Voice(
                sample_rate=voice.sample_rate, hop=voice.hop, content_features=voice.content_features,
                uses_f0=voice.uses_f0, speakers=voice.speakers,
            ),
            components=tuple(component.build for component in compiled),
        )  # fmt: skip
        measurements = Measurements(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=this_machine(),
            threads=threads,
            compile_seconds=round(time.perf_counter() - started, 3),
            peak_memory_mib=peak_memory_mib(),
            reference=write_references(staging, references),
            components={component.build.name: component.measurements for component in compiled},
        )
        failures = tuple(failure for component in compiled for failure in component.failures)
        manifest = Manifest(
            status="failed" if failures else "passed",
            failures=failures,
            build_digest=build.digest(),
            build=build,
            measurements=measurements,
        )
        write_manifest(staging, manifest)
    return manifest


def compile_component(
    request: Request,
    target: Target,
    staging: Path,
    voice: VoiceModel,
    component: Component,
    program: Program,
    reference: Reference,
    threads: int,
    report: Report,
) -> Compiled:
    """Passes, emission, numerical check and measurement of one component."""
    backend = find_backend(target.backend)
    plan = PrecisionPlan(default=precision_for(request, target))
    report(f"{target.name}: {component.name}: passes")
    program = run_passes(replace(program, plan=plan), target, reference if request.verify_passes else None)
    report(f"{target.name}: {component.name}: emitting")
    backend.require(backend.emit_needs, f"emit for {target.name}")
    backend.check(program, target)
    artifact = backend.emit(program, target, staging)
    report(f"{target.name}: {component.name}: checking")
    figures = measure(backend, target, voice, component, artifact.files[0], reference, threads, program.frames, report)
    bound = LEAST_SNR_DB[plan.default]
    build = ComponentBuild(
        name=component.name,
        inputs=program.inputs,
        outputs=program.outputs,
        passes=tuple(PassNote(name=done.name, modified=done.modified, notes=done.notes) for done in program.history),
        plan=plan,
        precision_histogram=plan.histogram(program.compute_nodes()),
        format=artifact.format,
        files=tuple(FileRecord.of(staging, file) for file in artifact.files),
        min_snr_db=bound,
    )
    seconds = {done.name: round(done.seconds, 4) for done in program.history}
    return Compiled(
        build, ComponentMeasurements(figures=figures, pass_seconds=seconds), missed(component.name, figures, bound)
    )


def run_passes(program: Program, target: Target, reference: Reference | None) -> Program:
    """The program after the target's pipeline; with a reference, each pass is checked against it by running the graph.

    Raises:
        PassError: a pass refused the graph, or moved the outputs further than it says it may.
    """
    tensors = {name: torch.from_numpy(array) for name, array in (reference.inputs if reference else {}).items()}
    before = program.run(tensors) if reference else {}
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program
        if reference:
            after = program.run(tensors)
            for name, value in after.items():
                error = max_abs_error(before[name].numpy(), value.numpy())
                if not error <= compiler_pass.tolerance:
                    raise PassError(
                        f"{compiler_pass.name} moved {name} of {program.name} by {error:.2g}, "
                        f"more than its tolerance of {compiler_pass.tolerance:.2g}"
                    )
            before = after
    return program


def measure(
    backend: Backend,
    target: Target,
    voice: VoiceModel,
    component: Component,
    file: Path,
    reference: Reference,
    threads: int,
    frames: int,
    report: Report,
) -> dict[str, Figure]:
    """Runs the artifact in its runtime: fidelity always, latency where this machine is such a target."""
    backend.require(backend.run_needs, f"check what was emitted for {target.name}")
    runtime = ", ".join(f"{need.package} {need.version}" for need in backend.run_needs)
    runner = backend.load(file, min(threads, usable_cores()))
    found = runner.run(reference.inputs)
    (output,) = component.outputs
    how = f"{runtime} against float32 PyTorch, same inputs and noise, {frames} frames"
    figures = fidelity_figures(reference.outputs[output.name], found[output.name], voice.sample_rate, how)
    if not target.any_host:
        return figures | missing_latency(f"not measured: this machine is not a {target.name}")
    return figures | latency_figures(
        component, runner.run, reference.inputs, runtime=runtime, threads=threads,
        seconds_of_audio=frames / voice.frame_rate,
        tick=lambda message: report(f"{target.name}: {component.name}: measuring, {message}"),
    )  # fmt: skip


def missed(component: str, figures: Mapping[str, Figure], bound: float) -> tuple[str, ...]:
    """What fell short of the bound: equal outputs have no SNR and pass."""
    snr = figures["snr"].value
    if snr is None and figures.get("max_abs_error", figures["snr"]).value == 0:
        return ()
    if snr is None or snr < bound:
        reached = "not finite" if snr is None else f"{snr:.1f} dB"
        return (f"{component}: SNR to float32 PyTorch is {reached}, below {bound:g} dB",)
    return ()


def make_reference(component: Component, frames: int) -> Reference:
    inputs = component.reference_inputs(frames)
    outputs = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    return Reference(inputs, {name: tensor.numpy() for name, tensor in outputs.items()})


def write_references(staging: Path, references: Mapping[str, Reference]) -> FileRecord:
    path = staging / REFERENCE_NAME
    tensors = {
        f"{component}/{name}": array
        for component, reference in references.items()
        for name, array in {**reference.inputs, **reference.outputs}.items()
    }
    write_npz(path, tensors)
    return FileRecord.of(staging, path)


def describe_source(model: Path, voice: VoiceModel) -> Source:
    try:
        return Source(
            file=model.name,
            bytes=model.stat().st_size,
            sha256=sha256_of_file(model),
            family=voice.family,
            facts=voice.facts,
        )
    except OSError as error:
        raise CheckpointError(f"{model}: {error.strerror or error}") from error


def check_request(request: Request, target: Target) -> None:
    """Refuses before any work what cannot come out well."""
    if request.segment is not None and request.frames is not None:
        raise RecipeError("--segment and --frames say the same thing twice; give one of them")
    if request.threads is not None and request.threads < 1:
        raise RecipeError(f"--threads must be at least 1, not {request.threads}")
    precision_for(request, target)
    if request.dynamic and not target.dynamic:
        raise RecipeError(f"target {target.name} needs a fixed segment length; leave out --dynamic")


def precision_for(request: Request, target: Target) -> Precision:
    if request.precision is None:
        return target.default_precision
    for precision in target.precisions:
        if precision == request.precision:
            return precision
    raise RecipeError(
        f"target {target.name} has no precision {request.precision!r}; it has {', '.join(target.precisions)}"
    )


def segment_frames(request: Request, voice: VoiceModel) -> int:
    """The segment length in frames.

    Raises:
        RecipeError: it is not positive, or longer than anything a device could hold.
    """
    if request.frames is not None:
        frames, told = request.frames, f"--frames {request.frames}"
    else:
        seconds = DEFAULT_SEGMENT_SECONDS if request.segment is None else request.segment
        told = f"--segment {seconds:g}"
        if not seconds * voice.frame_rate <= MAX_FRAMES:
            raise RecipeError(f"{told}: at most {MAX_FRAMES / voice.frame_rate:g} seconds")
        frames = round(seconds * voice.frame_rate)
    if frames < 1:
        raise RecipeError(f"{told}: a segment needs at least one frame ({1 / voice.frame_rate:g} s)")
    if frames > MAX_FRAMES:
        raise RecipeError(f"{told}: at most {MAX_FRAMES} frames")
    return frames


def destinations(request: Request) -> list[Path]:
    """Where each target's bundle goes."""
    if len(request.targets) == 1:
        return [request.output or Path(f"{request.model.stem}-{request.targets[0].name}")]
    if request.output is None:
        return [Path(f"{request.model.stem}-{target.name}") for target in request.targets]
    return [request.output / target.name for target in request.targets]
