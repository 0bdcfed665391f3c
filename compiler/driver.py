"""The whole way: a model in, a bundle for each target out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from voxc.compiler.assemble import assemble
from voxc.compiler.bundle import staged
from voxc.compiler.compiled import Compiled, compile_part
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.target import Target
from voxc.compiler.job import Job
from voxc.compiler.manifest import Conversion, Manifest, write_manifest
from voxc.compiler.measure.conversion import Trial
from voxc.compiler.request import CONVERTING_SEGMENT_SECONDS, Request
from voxc.compiler.runtime.eager import pipeline_of
from voxc.compiler.session import Session
from voxc.compiler.stages.work import Work

Report = Callable[[str], None]


def compile_model(
    request: Request, report: Report = lambda message: None, session: Session | None = None
) -> list[tuple[Path, Manifest]]:
    """Compiles a model for each target; gives the bundles and their manifests in the order of the targets.

    A bundle that misses its numerical bound is written and marked as failed; the caller decides what that means. What a
    `session` has kept of earlier compiles is not made again.

    Raises:
        VoxcError: see `compiler/core/errors.py`; then no bundle of the failing target is left.
    """
    started = time.perf_counter()
    session = session or Session()
    session.report = report
    request.check()
    request.check_files()
    check_task(request, session)
    return [compile_for(target, request, session, started) for target in request.targets]


def compile_for(target: Target, request: Request, session: Session, started: float) -> tuple[Path, Manifest]:
    """The bundle of one target."""
    job, why = fitting(target, request, session)
    job.decider.check(list(job.programs.values()))
    trial = prepare_trial(request, session, job.work)
    place = request.place_for(target)
    with staged(place) as staging:
        compiled = [compile_part(job, part, staging) for part in job.work.parts]
        conversion = convert(job, trial, compiled, staging)
        manifest = assemble(job, compiled, conversion, staging, why, time.perf_counter() - started)
        write_manifest(staging, manifest)
    return place, manifest


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
    """Raises RecipeError if a sample or a gate is requested, and the model cannot convert, or has no such speaker."""
    model = session.model(request)
    if model.converts and model.chain is not None:
        frames, _ = request.segment_of(model, CONVERTING_SEGMENT_SECONDS)
        chain = model.chain(frames)
        chain.check_options(chain.Options(speaker=request.speaker, transpose=request.transpose or 0.0))
    if request.convert and not model.converts and (request.sample or request.gates):
        remedy = model.task.missing or f"a {model.family} model has nothing to convert"
        raise RecipeError(f"gates and samples need a voice that can convert; {remedy}")


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
    job.report(f"converting {trial.sample.name}")
    converter = pipeline_of(job.work.model, {each.build.name: each.runner for each in compiled}, job.work.frames)
    coarsest = next((each.runtime for each in compiled if each.runtime.evidence == "estimate"), job.runtime)
    runtime = f"{coarsest.description}, {job.threads} threads"
    return trial.measure(converter, staging, runtime, untimed=job.why_no_latency, evidence=coarsest.evidence)
