"""`voxc convert`: a recording to the voice of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json, standing_by, tell_runtime, warn


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
