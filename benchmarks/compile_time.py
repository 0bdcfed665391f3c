"""How long compiles of one voice take, one process each: with an empty cache, the same again, for another target, and
with another precision.

    python benchmarks/compile_time.py [--voice VOICE] [--frames 200] [--target T] [--other T] [--precision int8]

Prints wall seconds, and the ratio to the same compile with `--no-cache`. A compile's measurements are made each time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from full_size import write_voice

from voxc.compiler.core.machine import cpu_name, integer_features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, help="a checkpoint, or 'demo' (default: full size, random weights)")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--target", default="onnxruntime-cpu")
    parser.add_argument("--other", default="jetson-nano")
    parser.add_argument("--precision", default="int8")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voice = options.voice or write_voice(folder / "voice.pth")
        print(f"{cpu_name()} ({', '.join(integer_features())}); {voice.name}, {options.frames} frames")
        fixed = ["--frames", str(options.frames), "--min-snr", "1"]
        integers = [*fixed, "--precision", options.precision]
        steps = [
            (f"{options.target}, empty cache", options.target, fixed),
            (f"{options.target}, again", options.target, fixed),
            (f"{options.other}", options.other, fixed),
            (f"{options.target} in {options.precision}", options.target, integers),
            (f"{options.target} in {options.precision}, again", options.target, integers),
        ]
        print(f"{'':44}{'cached s':>10}{'no cache s':>12}{'ratio':>8}")
        for label, target, settings in steps:
            cached = seconds(voice, target, folder, settings, ["--cache", str(folder / "cache")])
            alone = seconds(voice, target, folder, settings, ["--no-cache"])
            print(f"{label:44}{cached:10.1f}{alone:12.1f}{alone / cached:8.2f}", flush=True)


def seconds(voice: Path, target: str, folder: Path, settings: list[str], cache: list[str]) -> float:
    """Wall seconds of one `voxc compile`."""
    command = ["compile", str(voice), "--target", target, "-o", str(folder / "bundle"), "--no-sample"]
    started = time.perf_counter()
    voxc = [sys.executable, "-m", "voxc.compiler"]
    done = subprocess.run([*voxc, *command, *settings, *cache], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: a bundle below its bound, which took as long
        raise SystemExit(done.stderr.splitlines()[-1])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
