"""Half an hour through a bundle: memory, time by step, and steps from sample to sample where windows are joined.

    python benchmarks/convert_long.py BUNDLE RECORDING [--minutes 30]

The recording is repeated, with a breath between, until it is long enough. Exits with 1 if the conversion needed 1.5 GB
or more, or if a join has a larger step than the voice makes elsewhere.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from voxc.compiler.audio.windows import FADE, cover
from voxc.compiler.bundle import Bundle
from voxc.compiler.runtime.conversion import convert_file
from voxc.compiler.runtime.pipeline import Pipeline, load_pipeline

LIMIT = 1.5e9  # bytes
BREATH = 0.31  # seconds; no whole number of frames, so that repetitions meet the joins differently


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    given = parser.parse_args()
    pipeline = load_pipeline(Bundle.open(given.bundle))
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "source.wav", Path(folder) / "result.wav"
        prolong(given.recording, source, given.minutes * 60)
        report = convert_file(source, result, pipeline)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        at_joins, elsewhere = largest_steps(result, pipeline)
    print(f"{report.seconds / 60:.1f} min of audio, {report.windows} windows of {pipeline.chain.frames / 100:g} s")
    for step, seconds in sorted(report.steps.items(), key=lambda item: -item[1]):
        print(f"  {step:12} {seconds:8.2f} s  {seconds / sum(report.steps.values()):6.1%}")
    print(f"real-time factor {report.real_time_factor:.4f}, peak memory {memory / 1e6:.0f} MB")
    print(f"largest step at joins {at_joins:.4f}, elsewhere {elsewhere:.4f} of full scale")
    return int(memory >= LIMIT or at_joins > elsewhere)


def prolong(recording: Path, output: Path, seconds: float) -> None:
    """Writes `recording` as often as it takes to fill `seconds`."""
    samples, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    phrase = np.concatenate([samples, np.zeros((round(BREATH * rate), samples.shape[1]), np.float32)])
    with soundfile.SoundFile(str(output), "w", rate, samples.shape[1], "PCM_16") as file:
        for _ in range(math.ceil(seconds * rate / len(phrase))):
            file.write(phrase[: round(seconds * rate) - file.frames])


def largest_steps(result: Path, pipeline: Pipeline) -> tuple[float, float]:
    """From sample to sample, around the joins and elsewhere."""
    samples, _ = soundfile.read(result, dtype="float32")
    steps = np.abs(np.diff(samples))
    near = np.zeros(len(steps), bool)
    for window in cover(math.ceil(len(samples) / pipeline.chain.hop), pipeline.chain.frames)[1:]:
        near[(window.begin - FADE) * pipeline.chain.hop : (window.begin + FADE) * pipeline.chain.hop] = True
    return float(steps[near].max(initial=0)), float(steps[~near].max())


if __name__ == "__main__":
    sys.exit(main())
