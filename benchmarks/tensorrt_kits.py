"""Kits for TensorRT of a full-size voice: legal by the parser's table, valid ONNX, and the numbers of float32 PyTorch.

    python benchmarks/tensorrt_kits.py [--targets jetson-nano tensorrt] [--frames N] [--voice-only]

Compiles an RVC v2 40k voice and a content encoder of HuBERT base's size, both with random weights, for each target. Of
each component it prints the nodes of the file, how many the table of the target's version refuses (0, or it would not
have been written), how many are to stay float32, the bytes of the ONNX file, the largest error and the SNR of ONNX
Runtime on that file, all in float32, and the SNR with float16 layers rounded; and what the compile took. Exits with 1
if a file is refused or an error is above 1e-3.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import onnx
from full_size import write_content, write_voice
from rich.console import Console
from rich.table import Table

from voxc.backends.tensorrt.backend import version_of
from voxc.backends.tensorrt.legality import Reading, complaints
from voxc.backends.tensorrt.precisions import precisions_file, read_precisions
from voxc.backends.tensorrt.table import tables_for
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.manifest import Manifest, read_manifest

MOST_ERROR = 1e-3


def main() -> None:
    known = {name: target for name, target in load_targets().items() if target.backend == "tensorrt"}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=known, default=list(known))
    parser.add_argument("--frames", type=int)
    parser.add_argument("--voice-only", action="store_true")
    given = parser.parse_args()
    table = Table("target", "component", "nodes", "opset", "refused", "float32", "MiB", "error", "SNR dB", "float16 dB")
    good, notes = True, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voice = [str(write_voice(folder / "voice.pth"))]
        voice += [] if given.voice_only else ["--content", str(write_content(folder / "content"))]
        voice += ["--frames", str(given.frames)] if given.frames else []
        for target in given.targets:
            manifest = compiled(voice, target, folder / target)
            took = manifest.measurements.compile
            notes.append(
                f"{target}: {manifest.build.recipe.frames} frames, {took['seconds'].value:.0f} s, "
                f"{took['peak_memory'].value:.0f} MiB; {manifest.status}"
            )
            good &= add_rows(table, manifest, known[target], folder / target)
    console = Console(width=130)
    console.print(table, *notes, sep="\n")
    raise SystemExit(0 if good else 1)


def compiled(voice: list[str], target: str, place: Path) -> Manifest:
    command = [sys.executable, "-m", "voxc.compiler", "compile", *voice, "--target", target, "--no-sample"]
    done = subprocess.run([*command, "-o", str(place)], capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    return read_manifest(place)


def add_rows(table: Table, manifest: Manifest, target: Target, bundle: Path) -> bool:
    """One row for each component; whether all of them are legal and right."""
    good = True
    for component in manifest.build.components:
        file = bundle / component.files[0].path
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
        reading = Reading(model)
        refused = sum(len(list(complaints(reading, each))) for each in tables_for(version_of(target)))
        kept = Counter(read_precisions(precisions_file(file)).layers.values())["fp32"]
        figures = manifest.measurements.components[component.name].figures
        error, snr, half = (figures[name].value for name in ("max_abs_error", "snr", "snr_rehearsed"))
        table.add_row(
            target.name, component.name, str(len(model.graph.node)), str(reading.opset), str(refused), str(kept),
            f"{file.stat().st_size / (1 << 20):.1f}", f"{error:.1e}", f"{snr:.1f}" if snr is not None else "equal",
            f"{half:.1f}" if half is not None else "not finite",
        )  # fmt: skip
        good &= refused == 0 and error is not None and error <= MOST_ERROR
    return good


if __name__ == "__main__":
    main()
