"""`voxc calibrate`: samples to quantize by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.families import FAMILY_OPTIONS
from voxc.compiler.cli.output import print_json, warn


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
