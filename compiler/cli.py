"""The command line: parses, calls, prints. Heavy imports wait inside the commands, so that --help is quick."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from voxc.compiler import cli_cache
from voxc.compiler import cli_options as options
from voxc.compiler.cli_families import FAMILY_OPTIONS, FamilyCommand
from voxc.compiler.core.errors import QualityError, VoxcError

app = typer.Typer(
    name="voxc",
    help="The compiler for voice-conversion models: a PyTorch voice in, measured per-device artifacts out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(*, epilog: str, reads_model: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose errors become one line on stderr and the exit code of the error. One that reads a model takes the
    options of its family too."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except VoxcError as error:
                print(f"voxc: error: {error}", file=sys.stderr)
                raise typer.Exit(error.exit_code) from None

        return app.command(epilog=epilog, cls=FamilyCommand if reads_model else None)(guarded)

    return decorate


def print_version(requested: bool) -> None:
    if requested:
        from voxc.compiler.version import describe_version

        print(f"voxc {describe_version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@command(epilog="Example: voxc compile voice.pth --target onnxruntime-cpu -o voice-cpu", reads_model=True)
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
        from voxc.compiler.driver import compile_model
        from voxc.compiler.request import Request, parse_frames, parse_sizes
        from voxc.compiler.session import Session

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


@command(epilog="Example: voxc report demo-bundles/* -o report.html")
def report(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles of one voice.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, .html.")] = Path("report.html"),
) -> None:
    """Write a page to hear, see and compare bundles of one voice."""
    from voxc.compiler.report.page import write_report

    write_report(bundles, output)
    print(output)


@command(epilog="Example: voxc targets --json")
def targets(json: options.Json = False) -> None:
    """List the targets, and what this machine can do for each."""
    from voxc.backends import known_targets
    from voxc.compiler.survey import Ability, survey_target
    from voxc.compiler.terminal import show, table

    surveys = [survey_target(target) for target in known_targets().values()]
    if json:
        from dataclasses import asdict

        print_json([asdict(survey) | {"target": survey.target.model_dump(mode="json")} for survey in surveys])
        return

    def told(ability: Ability) -> str:
        return "yes" if ability.able else f"no ({ability.why_not})"

    rows = [
        (
            survey.target.name, survey.target.description, ", ".join(survey.target.told_precisions),
            told(survey.emit), told(survey.run), told(survey.measure),
        )
        for survey in surveys
    ]  # fmt: skip
    show(table("", ("target", "what it is", "precisions", "emits here", "runs here", "measures here"), rows))


@command(epilog="Example: voxc doctor")
def doctor(json: options.Json = False) -> None:
    """Show this machine, the runtimes that voxc found, and what to install for the rest."""
    from dataclasses import asdict

    from voxc.compiler.core.machine import this_machine
    from voxc.compiler.survey import survey_packages
    from voxc.compiler.terminal import describe_cpu, show, table

    machine, findings = this_machine(), survey_packages()
    if json:
        print_json({"machine": machine.model_dump(mode="json"), "packages": [asdict(finding) for finding in findings]})
    else:
        show(
            f"{describe_cpu(machine)}, {machine.cores} cores, {machine.memory_gib} GiB, "
            f"{machine.system}, Python {machine.python}",
            table("", ("package", "version", "used for", "install"), [
                (found.package, found.version or "missing", found.used_for, "" if found.version else found.install)
                for found in findings
            ]),
        )  # fmt: skip
    missing = [found.package for found in findings if found.version is None]
    if missing:
        from voxc.compiler.core.errors import MissingRuntimeError

        raise MissingRuntimeError(f"missing: {', '.join(missing)}")


@command(epilog="Example: voxc inspect voice-onnxruntime-cpu", reads_model=True)
def inspect(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE|MODEL", help="A bundle directory or a voice.", show_default=False),
    ],
    family: options.Family = None,
    json: options.Json = False,
) -> None:
    """Show what is in a bundle or a model."""
    from voxc.compiler.manifest import MANIFEST_NAME, read_manifest
    from voxc.compiler.terminal import describe_cpu, figures_table, operator_table, precision_table, show, table

    if (path / MANIFEST_NAME).exists():
        manifest = read_manifest(path)
        if json:
            print_json(manifest.model_dump(mode="json"))
            return
        build = manifest.build
        show(f"{path}: {manifest.status}, build {manifest.build_digest}")
        sources = ", ".join(file.name for file in build.source.files.values())
        show(f"{sources} ({build.source.family} {describe(build.source.facts)}) for {build.target.name}")
        recipe = build.recipe
        lengths = ", ".join(str(length) for length in (recipe.frames, *recipe.lengths))
        show(f"segments of {lengths} frames{recipe.why_frames and f': {recipe.why_frames}'}")
        threads = manifest.measurements.threads
        show(f"compiled on {describe_cpu(manifest.measurements.machine)}, {threads} thread{'s' * (threads > 1)}")
        for component in build.components:
            files = f"{component.format}{' and a fallback' if component.fallback else ''}"
            show(table(f"\n{component.name}: {files}, {describe(component.precision_histogram)}", (
                "tensor", "shape", "dtype", "unit", "meaning"), [
                (spec.name, str(list(spec.shape)).replace("'", ""), spec.dtype, spec.unit, spec.meaning)
                for spec in component.inputs + component.outputs
            ]))  # fmt: skip
            show(precision_table(component), operator_table(component))
            show(
                table("\nPasses", ("pass", "notes"), [(done.name, "; ".join(done.notes)) for done in component.passes])
            )
        show("", figures_table(manifest))
        return

    from voxc.compiler.families import load_model

    model = load_model(path, context.meta[FAMILY_OPTIONS], family)
    names = [component.name for component in model.components]
    facts: dict[str, object] = {"family": model.family, **model.facts, **model.settings, "components": names}
    if json:
        print_json(facts)
    else:
        show(table(str(path), ("", ""), [(name, str(value)) for name, value in facts.items()]))


@command(
    epilog="Example: voxc run voice-cpu --component synthesizer --inputs voice-cpu/reference.npz --outputs out.npz"
)
def run(
    bundle: options.BundlePath,
    component: Annotated[str, typer.Option(help="Which component of the bundle.")],
    inputs: Annotated[Path, typer.Option(help="NPZ file with the inputs by name.")],
    outputs: Annotated[Path, typer.Option(help="NPZ file to write the outputs to.")],
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Run one component on raw tensors."""
    from voxc.compiler.bundle import Bundle
    from voxc.compiler.runtime.component import run_file

    fallbacks = standing_by()
    found = run_file(bundle, component, inputs, outputs, threads, fallbacks)
    runtime = tell_runtime(Bundle.open(bundle), [component], fallbacks)
    if json:
        shapes = {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in found.items()}
        print_json({"outputs": str(outputs), "tensors": shapes, "runtime": runtime, "fallbacks": fallbacks.reasons})
    else:
        for name, array in found.items():
            print(f"{name}  {list(array.shape)}  {array.dtype}")
        if fallbacks.reasons:
            print(f"by PyTorch: {component}")


@command(epilog="Example: voxc convert speech.wav --bundle voice-cpu -o converted.wav --transpose 5")
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A recording, of any format, rate and channels.", show_default=False)
    ],
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="A bundle with a content encoder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The result: .wav, .flac or .ogg.")],
    speaker: options.Speaker = 0,
    transpose: options.Transpose = 0.0,
    index_rate: Annotated[float, typer.Option(help="How far to follow the index, 0 to 1.")] = 0.75,
    protect: Annotated[
        float, typer.Option(help="How far to follow it in unvoiced sounds, 0 to 0.5; 0.5 as far as elsewhere.")
    ] = 0.33,
    rms_mix: Annotated[
        float, typer.Option(help="Whose loudness, from 0 (the recording's) to 1 (the voice's own).")
    ] = 0.25,
    f0: Annotated[str, typer.Option(help="The F0 estimator: pm (Praat).")] = "pm",
    seed: Annotated[int, typer.Option(help="Of the synthesizer's noise.")] = 0,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Convert a recording to the voice of a bundle."""
    from dataclasses import asdict

    from voxc.compiler.bundle import Bundle
    from voxc.compiler.families.rvc.options import ConvertOptions
    from voxc.compiler.runtime.conversion import convert_file
    from voxc.compiler.runtime.pipeline import load_pipeline
    from voxc.compiler.terminal import audio_progress, show

    asked = ConvertOptions(speaker, transpose, index_rate, protect, rms_mix, f0, seed)
    opened = Bundle.open(bundle)
    fallbacks = standing_by()
    pipeline = load_pipeline(opened, threads, fallbacks)
    runtime = tell_runtime(opened, list(pipeline.runners), fallbacks)
    with audio_progress() as tick:
        report = convert_file(source, output, pipeline, asked, tick)
    for warning in report.warnings:
        warn(warning)
    if json:
        print_json({"output": str(output), "runtime": runtime, "fallbacks": fallbacks.reasons,
                    "real_time_factor": report.real_time_factor, **asdict(report)})  # fmt: skip
    else:
        split = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in report.steps.items())
        show(f"{output}: {report.seconds:.2f} s of audio, real-time factor {report.real_time_factor:.3g} ({split})")
        if fallbacks.reasons:
            show(f"by PyTorch: {', '.join(fallbacks.reasons)}")


@command(epilog="Example: voxc calibrate voice.pth --content hubert --audio recordings -o calib.npz", reads_model=True)
def calibrate(
    context: typer.Context,
    model: options.Model,
    audio: Annotated[Path, typer.Option(help="A recording, or a directory of them: speech such as will be converted.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The samples, .npz, for `voxc compile --calibration`.")
    ],
    segment: options.Segment = None,
    frames: options.Frames = None,
    segments: Annotated[int, typer.Option(help="How many at most, spread evenly over the recordings.")] = 8,
    speaker: options.Speaker = 0,
    transpose: options.Transpose = 0.0,
    family: options.Family = None,
    json: options.Json = False,
) -> None:
    """Collect what a voice's networks are given where they convert recordings, to quantize them by."""
    from voxc.compiler.terminal import progress, show

    with progress() as report:
        report("starting")
        from voxc.compiler.calibration.write import write_samples

        written = write_samples(
            model, audio, output, segment=segment, frames=frames, segments=segments, speaker=speaker,
            transpose=transpose, options=context.meta[FAMILY_OPTIONS], family=family, report=report,
        )  # fmt: skip
    for warning in written.warnings:
        warn(warning)
    if json:
        tensors = {key: list(shape) for key, shape in written.tensors.items()}
        print_json({"output": str(output), "source": written.source, "frames": written.frames, "tensors": tensors,
                    "warnings": list(written.warnings)})  # fmt: skip
    else:
        show(f"{output}: {written.source}", *(f"{key}  {list(shape)}" for key, shape in written.tensors.items()))


@command(epilog="Example: voxc verify voice-cpu")
def verify(bundle: options.BundlePath, threads: options.Threads = None, json: options.Json = False) -> None:
    """Check a bundle's files against its manifest and run its reference inputs again."""
    from dataclasses import asdict

    from voxc.compiler.terminal import progress, show, table
    from voxc.compiler.verify import verify_bundle

    with progress() as report:
        checks = verify_bundle(bundle, threads, report)
    if json:
        print_json({"bundle": str(bundle), "checks": [asdict(check) for check in checks]})
    else:
        show(
            table(
                "",
                ("", "check", "seen"),
                [("ok" if check.passed else "FAILED", check.what, check.seen) for check in checks],
            )
        )
    failed = [check.what for check in checks if not check.passed]
    if failed:
        raise QualityError(f"{bundle}: failed: {', '.join(failed)}")


@command(epilog="Example: voxc measure voice-raspberry-pi --on ssh://pi@raspberrypi.local --python venv/bin/python")
def measure(
    bundle: options.BundlePath,
    on: options.On = None,
    python: options.DevicePython = None,
    component: options.Components = None,
    threads: options.Threads = None,
    compute_units: options.ComputeUnits = None,
    runs: options.Runs = 100,
    seconds: options.Seconds = 10.0,
    limit: options.Limit = 3600.0,
    ssh_config: options.SshConfig = None,
    json: options.Json = False,
) -> None:
    """Run, compare and time a bundle on its device, and add what was found to its manifest."""
    from voxc.compiler.device.measure import MeasureOptions, measure_bundle
    from voxc.compiler.terminal import device_summary, progress, show

    asked = MeasureOptions(
        on, python, tuple(component or ()), threads, compute_units, runs, seconds, limit, ssh_config
    )  # fmt: skip
    with progress() as report:
        measured = measure_bundle(bundle, asked, report)
    if json:
        print_json(
            {"bundle": str(bundle), "merged": not measured.failures, "run": measured.run.model_dump(mode="json")}
        )
    else:
        show(*device_summary(measured.run))
    if measured.failures:
        raise QualityError(f"{bundle}: {'; '.join(measured.failures)}; the manifest is as it was")


@command(epilog="Example: voxc explain voice-apple-ane --brief")
def explain(
    bundle: options.BundlePath,
    brief: Annotated[bool, typer.Option("--brief", help="Only what is not where it should be, by kind.")] = False,
    json: options.Json = False,
) -> None:
    """Show where the operators of a bundle run, and what would move those that are not where they should be."""
    from voxc.compiler.explain import explain_bundle
    from voxc.compiler.explain_report import document, report
    from voxc.compiler.terminal import show

    explanations = explain_bundle(bundle)
    if json:
        print_json({"bundle": str(bundle), "components": [document(each) for each in explanations]})
    else:
        show(*(part for each in explanations for part in report(each, brief)))


command(epilog=cli_cache.EPILOG)(cli_cache.cache)


def warn(message: str) -> None:
    print(f"voxc: warning: {message}", file=sys.stderr)


def standing_by() -> Any:
    """Fallbacks of a bundle's components, whose use is said on stderr."""
    from voxc.compiler.runtime.fallback import Fallbacks

    return Fallbacks(warn)


def tell_runtime(bundle: Any, components: list[str], fallbacks: Any) -> str:
    """What runs the artifacts of a bundle's components here, or PyTorch if it runs all of them; said on stderr where it
    is not the target's own runtime."""
    from voxc.compiler.runtime.component import runtime_of

    if fallbacks.reasons.keys() >= set(components):
        from importlib.metadata import version

        return f"PyTorch {version('torch')}"
    runtime = runtime_of(bundle)
    if runtime.evidence == "reference":
        print(f"voxc: note: run by {runtime.description}, not by a runtime of {bundle.manifest.build.target.name}",
              file=sys.stderr)  # fmt: skip
    return runtime.description


def describe(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
