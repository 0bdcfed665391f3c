"""`voxc compile`: a model into bundles."""

from __future__ import annotations

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.families import FAMILY_OPTIONS
from voxc.compiler.cli.output import print_json, warn
from voxc.compiler.core.errors import QualityError


def compile(
    context: typer.Context,
    model: options.Model,
    target: options.Targets,
    output: options.Output = None,
    segment: options.Segment = None,
    frames: options.SeveralFrames = None,
    precision: options.Precisions = None,
    allow_emulated: options.AllowEmulated = False,
    recipe: options.Recipe = None,
    min_snr: options.MinSnr = None,
    calibration: options.Samples = None,
    observer: options.Observer = None,
    implicit: options.Implicit = False,
    plan: options.Plan = None,
    dynamic: options.Dynamic = False,
    threads: options.Threads = None,
    verify_passes: options.VerifyPasses = False,
    family: options.Family = None,
    size: options.AxisSizes = None,
    sample: options.Sample = None,
    reference: options.References = None,
    speaker: options.Speaker = 0,
    transpose: options.SampleTranspose = None,
    no_sample: options.NoSample = False,
    with_fallback: options.Fallback = False,
    gate: options.Gates = None,
    cache: options.Cache = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
) -> None:
    """Compile a model into one measured bundle for each target."""
    from voxc.backends import known_targets
    from voxc.compiler.core.target import find_target
    from voxc.compiler.terminal import progress, show, summary

    known = known_targets()
    targets = tuple(find_target(name, known) for name in dict.fromkeys(target))
    with progress() as report:
        report("starting")
        from voxc.compiler.cache.place import cache_directory
        from voxc.compiler.cache.store import Store
        from voxc.compiler.core.recipe import PrecisionRecipe, read_recipe
        from voxc.compiler.request import Request, parse_frames, parse_sizes

        length, lengths = parse_frames(frames)
        asked = read_recipe(recipe) if recipe else PrecisionRecipe()
        asked = asked.with_options(precision or (), observer, min_snr, calibration, plan, implicit, allow_emulated)
        request = Request(
            model, targets, output, segment=segment, frames=length, lengths=lengths, precision=asked, dynamic=dynamic,
            threads=threads, verify_passes=verify_passes, family=family, options=context.meta[FAMILY_OPTIONS],
            sizes=parse_sizes(size), sample=sample, references=tuple(reference or ()), speaker=speaker,
            transpose=transpose, convert=not no_sample,
            gates=tuple(gate or ()), fallback=with_fallback,
        )  # fmt: skip
        request.check()
        request.check_files()
        from voxc.compiler.driver import compile_model  # imports PyTorch
        from voxc.compiler.session import Session

        session = Session() if no_cache else Session(Store(cache_directory(cache), warn=warn))
        bundles = compile_model(request, report, session)
    if json:
        print_json(
            [{"bundle": str(place), "manifest": manifest.model_dump(mode="json")} for place, manifest in bundles]
        )
    else:
        show(*(line for place, manifest in bundles for line in summary(place, manifest)))
    failures = [f"{place}: {failure}" for place, manifest in bundles for failure in manifest.failures]
    if failures:
        raise QualityError("; ".join(failures))
