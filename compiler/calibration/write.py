"""`voxc calibrate`: samples from recordings, written for compiles to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxc.compiler.calibration.recordings import SEGMENTS, collect_samples
from voxc.compiler.core.errors import OutputError
from voxc.compiler.core.tensor import write_npz
from voxc.compiler.families import load_model
from voxc.compiler.request import CONVERTING_SEGMENT_SECONDS, NPZ_SUFFIX, Request, check_samples


@dataclass(frozen=True)
class Written:
    """What was written: `tensors` are shapes by key, `[segments, ...]`; a segment lasts `frames`."""

    output: Path
    source: str
    frames: int
    tensors: Mapping[str, tuple[int, ...]]
    warnings: tuple[str, ...]


def write_samples(
    model: Path,
    audio: Path,
    output: Path,
    *,
    segment: float | None = None,
    frames: int | None = None,
    segments: int = SEGMENTS,
    speaker: int = 0,
    transpose: float = 0.0,
    options: Mapping[str, Any] | None = None,
    family: str | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Written:
    """Writes what the components of a voice are given in segments of recordings to an NPZ file that `compile` takes.

    `audio` is a recording or a directory of them. A segment lasts `segment` seconds or `frames`; by default as long as
    that of a compile.

    Raises:
        VoxcError: the voice, the recordings or the options are unusable, or the file cannot be written.
    """
    check_output(output)
    request = Request(model, (), segment=segment, frames=frames, speaker=speaker, transpose=transpose)
    request.check()
    check_samples(audio)
    report(f"loading {model.name}")
    loaded = load_model(model, options, family)
    length, _ = request.segment_of(loaded, CONVERTING_SEGMENT_SECONDS)
    samples = collect_samples(
        loaded, length, audio, segments=segments, speaker=speaker, transpose=transpose, report=report
    )
    report(f"writing {output.name}")
    arrays = {
        f"{component}/{name}": np.stack([call[name] for call in calls])
        for component, calls in samples.calls.items()
        for name in calls[0]
    }
    write_npz(output, arrays)
    shapes = {key: array.shape for key, array in sorted(arrays.items())}
    return Written(output, samples.source, length, shapes, samples.warnings)


def check_output(output: Path) -> None:
    """Raises OutputError for what would only fail after the work, or not be taken by `compile`."""
    if output.suffix.lower() != NPZ_SUFFIX:
        raise OutputError(f"{output}: samples are written as {NPZ_SUFFIX}; give the output that suffix")
    if output.is_dir():
        raise OutputError(f"{output}: is a directory; name a file in it")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: there is no directory {output.parent}; make it first")
