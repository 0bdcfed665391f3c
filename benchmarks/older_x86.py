"""This machine as an older x86-64 CPU, at full speed: builds `older_x86.c` for a level, and prints the library's path.

    LD_PRELOAD=$(python benchmarks/older_x86.py avx2) python benchmarks/rvc_int8.py

times what a CPU without newer instructions takes: ONNX Runtime, LiteRT and PyTorch choose their kernels for such a one.
Any program can be run so. Levels are `sse4` (SSE4.2), `avx2`, and `avx512` (as on Skylake-X); none has VNNI or AMX.

It needs Linux, a C compiler, and a CPU with CPUID faulting: `cpuid_fault` in /proc/cpuinfo, which Intel's have since
Ivy Bridge, and virtual machines if their hypervisor lets them. What is read from /proc/cpuinfo stays as it is.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("older_x86.c")
BUILD = Path(__file__).resolve().parents[1] / "build" / "older_x86"
LEVELS = {"sse4": 1, "avx2": 2, "avx512": 3}
FLAGS = Path("/proc/cpuinfo")


class OlderCpuError(Exception):
    """Why this machine cannot be an older one."""


def library(level: str) -> Path:
    """The library to preload for a level, built where it is not there yet or its source is newer.

    Raises:
        OlderCpuError: the machine, the OS or the compiler is not what it takes.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise OlderCpuError("needs Linux on x86-64")
    flags = set(FLAGS.read_text(encoding="utf-8").split())
    if "cpuid_fault" not in flags:
        raise OlderCpuError("this CPU, or its hypervisor, has no CPUID faulting")
    if level == "avx512" and "avx512f" not in flags:
        raise OlderCpuError("this CPU has no AVX-512")
    path = BUILD / f"{level}.so"
    if not path.exists() or path.stat().st_mtime < SOURCE.stat().st_mtime:
        build(path, LEVELS[level])
    tried = subprocess.run(
        ["true"], env={**os.environ, "LD_PRELOAD": str(path)}, capture_output=True, text=True, check=False
    )
    if tried.returncode or tried.stderr:  # the dynamic linker only warns of what it cannot preload
        raise OlderCpuError(f"the OS refuses: {tried.stderr.strip()}")
    return path


def build(path: Path, level: int) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise OlderCpuError("needs a C compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [compiler, "-O2", "-Wall", "-shared", "-fPIC", f"-DLEVEL={level}", "-o", path, SOURCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OlderCpuError(f"{compiler} failed: {done.stderr.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("level", choices=LEVELS)
    try:
        print(library(parser.parse_args().level))
    except OlderCpuError as error:
        sys.exit(f"older_x86: {error}")


if __name__ == "__main__":
    main()
