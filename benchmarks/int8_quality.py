"""What integers cost on real speech: the demo voice in float32 and by the automatic plan, on the same recordings.

The plan is found on the sample that comes with the voice; the recordings are others. Prints SECS to the target speaker
and F0 correlation with the source for both, what integers changed of them, and STOI and SNR of the one against float32
PyTorch.

    python benchmarks/int8_quality.py RECORDING... [--float32 tflite-float32] [--integers tflite-int8] [--speaker 1]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import demo_directory
from voxc.compiler.manifest import Conversion
from voxc.compiler.request import Request

TASK = (("SECS", "secs"), ("F0 correlation", "f0_correlation"))
FIDELITY = (("STOI", "stoi"), ("SNR dB", "snr"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+", metavar="RECORDING")
    parser.add_argument("--float32", default="tflite-float32", metavar="TARGET")
    parser.add_argument("--integers", default="tflite-int8", metavar="TARGET")
    parser.add_argument("--speaker", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        compile_model(
            Request(
                demo_directory(), (load_targets()[options.integers],), plan, precision=PrecisionRecipe(policy="auto"),
                speaker=options.speaker,
            )
        )  # fmt: skip
        for recording in options.recordings:
            whole = convert(recording, options.float32, PrecisionRecipe(policy="fp32"), Path(folder), options.speaker)
            small = convert(recording, options.integers, PrecisionRecipe(plan=plan), Path(folder), options.speaker)
            show(recording, whole, small)


def convert(recording: Path, target: str, precision: PrecisionRecipe, folder: Path, speaker: int) -> Conversion:
    """A recording's conversion by a bundle for the target."""
    request = Request(
        demo_directory(), (load_targets()[target],), folder / target, precision=precision, sample=recording,
        speaker=speaker,
    )  # fmt: skip
    ((_, manifest),) = compile_model(request)
    assert manifest.measurements.conversion is not None
    return manifest.measurements.conversion


def show(recording: Path, whole: Conversion, small: Conversion) -> None:
    print(recording.name)
    for title, name in TASK:
        before, after = whole.task[name].value, small.task[name].value
        if before is None or after is None:
            print(f"  {title:15} -  {whole.task[name].how}")
        else:
            print(f"  {title:15} float32 {before:.4f}  integers {after:.4f}  change {after - before:+.4f}")
    for title, name in FIDELITY:
        value = small.fidelity[name].value
        print(f"  {title:15} integers to float32 {'-' if value is None else f'{value:.4f}'}")


if __name__ == "__main__":
    main()
