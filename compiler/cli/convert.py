"""`voxc convert`: recordings to the voice of a bundle."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json, standing_by, tell_runtime, warn
from voxc.compiler.core.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from voxc.compiler.runtime.conversion import ConvertReport

STANDARD = "-"
STDIN = "/dev/stdin"


def convert(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Recordings, of any format, rate and channels: files, directories, patterns, or - for standard input.",
            show_default=False,
        ),
    ],
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="A bundle with a content encoder.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The result: .wav, .flac, .ogg or .mp3; a directory for several; - for standard output.",
        ),
    ],
    speaker: options.Speaker = 0,
    transpose: options.Transpose = 0.0,
    index_rate: Annotated[float, typer.Option(help="How far to follow the index, 0 to 1.")] = 0.75,
    protect: Annotated[
        float, typer.Option(help="How far to follow it in unvoiced sounds, 0 to 0.5; 0.5 as far as elsewhere.")
    ] = 0.33,
    rms_mix: Annotated[
        float, typer.Option(help="Whose loudness, from 0 (the recording's) to 1 (the voice's own).")
    ] = 0.25,
    f0: Annotated[
        str,
        typer.Option(
            help="The F0 estimator: a network of the bundle, as rmvpe, or pm. (default: a network if there is one)",
            show_default=False,
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of the synthesizer's noise.")] = 0,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="How to write: wav16, wav24, wav32f, flac, ogg or mp3. (default: by the suffix; wav16)",
            show_default=False,
        ),
    ] = None,
    jobs: options.Jobs = 1,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Convert recordings to the voice of a bundle."""
    from voxc.compiler.audio.write import find_format
    from voxc.compiler.families.rvc.options import ConvertOptions

    if form is not None:
        find_format(form)
    requested = ConvertOptions(speaker, transpose, index_rate, protect, rms_mix, f0, seed)
    sources = [STDIN if name == STANDARD else name for name in source]
    if output == STANDARD:
        to_standard_output(only(sources), bundle, requested, form, threads, json)
    elif is_one(sources, output):
        report, facts = convert_one(Path(sources[0]), Path(output), bundle, requested, form, threads)
        show_report(output, report, facts, json)
    else:
        from voxc.compiler.cli.convert_many import convert_many

        convert_many(sources, Path(output), bundle, requested, form or "wav16", jobs, threads, json)


def is_one(sources: list[str], output: str) -> bool:
    """Whether a recording goes to a file, and not recordings into a directory."""
    path = Path(sources[0])
    return len(sources) == 1 and path.exists() and not path.is_dir() and not is_directory(output)


def is_directory(output: str) -> bool:
    return output.endswith("/") or Path(output).is_dir()


def only(sources: list[str]) -> Path:
    """Raises RecipeError if there are several."""
    if len(sources) > 1:
        raise RecipeError("-o - takes one recording; give a directory for several")
    return Path(sources[0])


def convert_one(
    source: Path, output: Path, bundle: Path, requested: Any, form: str | None, threads: int | None
) -> tuple[ConvertReport, dict[str, Any]]:
    """The report of a conversion, and what ran it; warnings go to stderr."""
    from voxc.compiler.audio.write import check_output
    from voxc.compiler.bundle import Bundle
    from voxc.compiler.runtime.conversion import convert_file
    from voxc.compiler.runtime.pipeline import load_pipeline
    from voxc.compiler.terminal import audio_progress

    check_output(output, source, form)
    opened = Bundle.open(bundle)
    fallbacks = standing_by()
    pipeline = load_pipeline(opened, threads, fallbacks)
    runtime = tell_runtime(opened, list(pipeline.runners), fallbacks)
    with audio_progress() as tick:
        report = convert_file(source, output, pipeline, requested, tick, form=form)
    for warning in report.warnings:
        warn(warning)
    return report, {"runtime": runtime, "fallbacks": fallbacks.reasons}


def show_report(output: str, report: ConvertReport, facts: dict[str, Any], json: bool) -> None:
    from voxc.compiler.terminal import show

    if json:
        print_json({"output": output, **facts, "real_time_factor": report.real_time_factor, **asdict(report)})
        return
    split = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in report.steps.items())
    show(f"{output}: {report.seconds:.2f} s of audio, real-time factor {report.real_time_factor:.3g} ({split})")
    if facts["fallbacks"]:
        show(f"by PyTorch: {', '.join(facts['fallbacks'])}")


def to_standard_output(
    source: Path, bundle: Path, requested: Any, form: str | None, threads: int | None, json: bool
) -> None:
    """The sound goes to stdout, and nothing else does.

    Raises:
        OutputError: stdout is a terminal, or does not take it.
        RecipeError: JSON is to go there, too.
    """
    from voxc.compiler.audio.write import find_format

    if json:
        raise RecipeError("-o - writes the sound to standard output; leave out --json, or write to a file")
    if sys.stdout.isatty():
        raise OutputError("standard output is a terminal; name a file, or send it to a program: ... -o - | aplay")
    with tempfile.TemporaryDirectory(prefix="voxc-") as folder:
        result = Path(folder) / f"result{find_format(form or 'wav16').suffix}"
        convert_one(source, result, bundle, requested, form, threads)
        try:
            with result.open("rb") as sound, open(sys.stdout.fileno(), "wb", closefd=False) as stream:
                shutil.copyfileobj(sound, stream)
        except OSError as error:
            raise OutputError(f"standard output cannot be written ({error.strerror or error})") from error
