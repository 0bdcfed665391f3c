"""The whole way: a model in, a bundle for each target out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from voxc.backends import backend_of
from voxc.compiler.assemble import assemble, gates_memory, judged, with_memory
from voxc.compiler.attempt import Skip, attempt
from voxc.compiler.bundle import refuse_to_overwrite, staged
from voxc.compiler.compiled import Compiled, compile_part
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.target import Target
from voxc.compiler.job import Job
from voxc.compiler.manifest import Conversion, Manifest, write_manifest
from voxc.compiler.measure.conversion import Trial
from voxc.compiler.request import Request
from voxc.compiler.runtime.eager import pipeline_of
from voxc.compiler.session import Session
from voxc.compiler.stages.work import Work
from voxc.compiler.steps import Steps

Report = Callable[[str], None]


def compile_model(
    request: Request, report: Report = lambda message: None, session: Session | None = None, skip: Skip | None = None
) -> list[tuple[Path, Manifest]]:
    """Compiles a model for each target; gives the bundles and their manifests in the order of the targets.

    A bundle that misses its numerical bound is written and marked as failed; the caller decides what that means. What a
    `session` has kept of earlier compiles is not made again. Targets that cannot be compiled for here, or not as
    requested, are an error; with `skip` they are left out, and it gets them and the reason.

    Raises:
        VoxcError: see `compiler/core/errors.py`; then no bundle of the failing target is left.
    """
    started = time.perf_counter()
    session = session or Session()
    session.steps = Steps()
    session.report = session.steps.numbered(report)
    request.check_options()
    request.check_files()
    places = {target.name: request.place_for(target) for target in request.targets}
    able = attempt(request.targets, lambda target: check_target(target, request), skip)
    request = replace(request, targets=able)
    for target in able:
        refuse_to_overwrite(places[target.name])
    check_task(request, session)
    model = session.model(request)
    session.steps.plan(len(able), len(model.components), request.convert and model.converts)
    done: dict[str, Manifest] = {}

    def compile_one(target: Target) -> None:
        done[target.name] = compile_for(target, request, session, places[target.name], started)

    return [(places[target.name], done[target.name]) for target in attempt(able, compile_one, skip)]


def check_target(target: Target, request: Request) -> None:
    """Raises what keeps a target from being compiled for, as far as that shows before any work."""
    request.check_for(target)
    backend = backend_of(target)
    backend.require(backend.emit_needs, f"emit for {target.name}")
    backend.require(backend.run_needs, f"check what was emitted for {target.name}")


def compile_for(target: Target, request: Request, session: Session, place: Path, started: float) -> Manifest:
    """The bundle of one target, at `place`."""
    session.steps.next_target()
    job, why = fitting(target, request, session)
    job.decider.check(list(job.programs.values()))
    trial = prepare_trial(request, session, job.work)
    with staged(place) as staging:
        compiled = [compile_part(job, part, staging) for part in job.work.parts]
        conversion = convert(job, trial, compiled, staging)
        manifest = assemble(job, compiled, conversion, staging, why, time.perf_counter() - started)
        if gates_memory(job):
            manifest = with_memory(job, manifest, staging)
        manifest = judged(job, manifest)
        write_manifest(staging, manifest)
    return manifest


def fitting(target: Target, request: Request, session: Session) -> tuple[Job, str]:
    """The job for the longest segments that the target's memory holds, and what their length follows from.

    Raises:
        RecipeError: see `Job.fit`.
    """
    job = Job(session, request, target, session.work(request))
    fit = job.fit()
    if fit.frames < job.work.frames:
        job.report(f"{job.work.frames} frames do not fit into its memory, {fit.frames} do")
        return fitting(target, replace(request, longest=fit.frames), session)
    return job, "; ".join(filter(None, (job.work.why, fit.arithmetic)))


def check_task(request: Request, session: Session) -> None:
    """Raises RecipeError if a sample or a gate on its sound is requested, and the model cannot convert, or cannot do
    what the options ask for."""
    model = session.model(request)
    if request.convert and model.converts and model.chain is not None:
        chain = model.chain(model.frame_step)
        chain.check_options(chain.Options(speaker=request.speaker, transpose=request.transpose or 0.0))
    if request.convert and not model.converts and (request.sample or request.gates_of_conversions):
        remedy = model.task.missing or f"a {model.family} model has nothing to convert"
        raise RecipeError(f"samples, and gates on their sound, need a voice that can convert; {remedy}")


def prepare_trial(request: Request, session: Session, work: Work) -> Trial | None:
    """The conversion that every bundle is tried with; None for a model that cannot convert, or if none is wanted."""
    model = work.model
    if not request.convert or not model.converts:
        return None
    sample = request.sample or model.task.sample
    assert sample is not None, "a model that converts brings one"
    return session.trial(request, work, sample, request.references or model.task.references_of(request.speaker))


def convert(job: Job, trial: Trial | None, compiled: Sequence[Compiled], staging: Path) -> Conversion | None:
    """The trial, by what was emitted."""
    if trial is None:
        return None
    job.begin(f"converting {trial.sample.name}")
    converter = pipeline_of(job.work.model, {each.build.name: each.runner for each in compiled}, job.work.frames)
    coarsest = next((each.runtime for each in compiled if each.runtime.evidence == "estimate"), job.runtime)
    runtime = f"{coarsest.description}, {job.threads} threads"
    return trial.measure(converter, staging, runtime, untimed=job.why_no_latency, evidence=coarsest.evidence)
