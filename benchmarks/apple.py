"""Core ML and MLX on this machine: what a full-size voice takes to compile, and what weights of few bits cost.

    python benchmarks/apple.py compile [--targets apple-ane apple-mlx] [--segment 2]
    python benchmarks/apple.py weights [--mlx-only | --coreml-only]

`compile` makes bundles of an RVC v2 40k voice with a content encoder of HuBERT base's size, one process each, and
prints seconds, peak memory and the SNR of each component. `weights` compiles the same, in segments of 1 s, and the demo
voice in float16 and with weights of 8 and 4 bits: bytes of the content encoder against float16's, and SECS of the demo
voice's conversion against that of float32.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from full_size import write_content, write_voice
from rich.console import Console
from rich.table import Table

from voxc.compiler.manifest import ComponentMeasurements, Manifest, read_manifest

#: Of each runtime: the target and the precision of float32, of float16, and of weights of 8 and 4 bits.
MLX = {"float32": ("apple-mlx", "fp32"), "float16": ("apple-mlx", "fp16"), "int8": ("apple-mlx-int8", "w8"),
       "int4": ("apple-mlx-int4", "int4")}  # fmt: skip
CORE_ML = {"float32": ("apple-ane", "fp32"), "float16": ("apple-ane", "fp16"), "int8": ("apple-ane", "w8"),
           "int4": ("apple-ane", "int4")}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    compiling = commands.add_parser("compile")
    compiling.add_argument("--targets", nargs="+", default=["apple-ane", "apple-mlx"])
    compiling.add_argument("--segment", type=float, default=2.0, help="seconds")
    weights = commands.add_parser("weights")
    weights.add_argument("--mlx-only", action="store_true")
    weights.add_argument("--coreml-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voice = [str(write_voice(folder / "voice.pth")), "--content", str(write_content(folder / "content"))]
        if given.command == "compile":
            show_compiling(voice, given.targets, given.segment, folder)
            return
        if not given.coreml_only:
            show_weights("MLX", MLX, voice, folder)
        if not given.mlx_only:
            show_weights("Core ML", CORE_ML, voice, folder)


def voxc_compile(voice: list[str], target: str, precision: str | None, place: Path, *options: str) -> Manifest:
    """A bundle made by the command line in a process of its own; one that misses a gate is a bundle too."""
    command = [sys.executable, "-m", "voxc.compiler", "compile", *voice, "--target", target, "-o", str(place)]
    command += ["--precision", precision] if precision else []
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    print(done.stderr, end="")
    return read_manifest(place)


def show_compiling(voice: list[str], targets: list[str], segment: float, folder: Path) -> None:
    table = Table("target", "frames", "seconds", "peak MiB", "SNR dB")
    for target in targets:
        manifest = voxc_compile(voice, target, None, folder / target, "--no-sample", "--segment", str(segment))
        measured = manifest.measurements
        table.add_row(
            target, str(manifest.build.recipe.frames), f"{measured.compile['seconds'].value:.1f}",
            f"{measured.compile['peak_memory'].value:.0f}",
            ", ".join(f"{name} {decibels(each)}" for name, each in measured.components.items()),
        )  # fmt: skip
    Console(width=120).print(table)


def decibels(measured: ComponentMeasurements) -> str:
    value = measured.figures["snr"].value
    return "equal" if value is None else f"{value:.1f}"


def show_weights(title: str, forms: dict[str, tuple[str, str]], voice: list[str], folder: Path) -> None:
    titles = ("precision", "content bytes", "of float16", "content SNR dB", "demo SNR dB", "demo SECS", "to float32")
    table = Table(*titles, title=title)
    bytes_of: dict[str, int] = {}
    secs_of: dict[str, float] = {}
    for form, (target, precision) in forms.items():
        whole = voxc_compile(voice, target, precision, folder / f"{target}-{form}", "--no-sample", "--segment", "1")
        demo = voxc_compile(["demo"], target, precision, folder / f"demo-{target}-{form}")
        bytes_of[form] = sum(file.bytes for file in whole.component("content").files)
        assert demo.measurements.conversion is not None
        secs = demo.measurements.conversion.task["secs"].value
        secs_of[form] = math.nan if secs is None else secs
        table.add_row(
            form, f"{bytes_of[form]:,}",
            f"{bytes_of[form] / bytes_of['float16']:.1%}" if "float16" in bytes_of else "",
            decibels(whole.measurements.components["content"]),
            ", ".join(decibels(each) for each in demo.measurements.components.values()),
            f"{secs_of[form]:.4f}", f"{secs_of[form] - secs_of['float32']:+.4f}",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
