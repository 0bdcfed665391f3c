"""Many short recordings through one bundle in one process: throughput, memory early and late, one damaged file.

    python benchmarks/many_files.py BUNDLE RECORDING [--files 200] [--jobs 2] [--seconds 2]

The recordings are pieces of RECORDING; one of them has no samples that can be decoded. Prints resident memory after
file 20 and after the last one. Exits with 1 if memory grew by more than a tenth in between, or if anything but the
damaged recording was not converted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

EARLY = 20  # files after which everything has been loaded
GROWTH = 1.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        recordings, results = Path(name) / "recordings", Path(name) / "results"
        damaged = write_pieces(options.recording, recordings, options.files, options.seconds)
        command = ["convert", recordings, "-b", options.bundle, "-o", results, "--jobs", options.jobs]
        wall, memory, complaint, code = watch([str(part) for part in command])
        done = len(list(results.iterdir()))
    seconds = done * options.seconds
    early, late = memory[min(EARLY, done) - 1], memory[-1]
    print(f"{done} of {options.files} files, {seconds:.0f} s of audio in {wall:.1f} s with --jobs {options.jobs}")
    print(f"{done / wall:.2f} files a second, {seconds / wall:.2f} times as fast as they play")
    print(f"resident memory after file {EARLY}: {early:.0f} MB, after file {done}: {late:.0f} MB")
    print(f"exit code {code}: {complaint}")
    as_it_should = code == 1 and done == options.files - 1 and complaint.endswith(str(damaged))
    return int(not as_it_should or late > GROWTH * early)


def write_pieces(recording: Path, folder: Path, count: int, seconds: float) -> Path:
    """Writes `count` pieces of a recording, of which one is damaged, whose name is returned."""
    folder.mkdir()
    samples, rate = soundfile.read(recording, dtype="float32")
    length = round(seconds * rate)
    for number in range(count):
        start = number * 997 % max(1, len(samples) - length)
        soundfile.write(folder / f"{number:04}.wav", samples[start : start + length], rate)
    damaged = folder / f"{count // 2:04}.wav"
    damaged.write_bytes(damaged.read_bytes()[:40])
    return damaged


def watch(arguments: list[str]) -> tuple[float, list[float], str, int]:
    """Runs a conversion: wall seconds, resident memory in MB after each file, the last line on stderr, exit code."""
    started = time.perf_counter()
    memory: list[float] = []
    with tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-m", "voxc.compiler", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if "real-time factor" in line:
                memory.append(resident(process.pid))
        code = process.wait()
        errors.seek(0)
        *_, complaint = errors.read().splitlines()
    return time.perf_counter() - started, memory, complaint, code


def resident(process: int) -> float:
    """The resident memory of a process in MB."""
    printed = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(printed.stdout) / 1e3


if __name__ == "__main__":
    sys.exit(main())
