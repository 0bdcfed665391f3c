"""The machine that this runs on."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from voxc.compiler.core.figure import Record

DEVICE_TREE_MODEL = Path("/proc/device-tree/model")  # of boards; PCs have none
CPU_INFO = Path("/proc/cpuinfo")
#: What Linux and macOS call the instructions for products of 8-bit integers, and what the field does.
INTEGER_FLAGS = {
    "avx2": "AVX2", "avx512bw": "AVX-512", "avx_vnni": "AVX-VNNI", "avx512_vnni": "AVX512-VNNI",
    "avx_vnni_int8": "AVX-VNNI-INT8", "amx_int8": "AMX-INT8", "asimddp": "dot product", "i8mm": "I8MM",
}  # fmt: skip
MAC_INTEGER_FLAGS = {
    "hw.optional.avx2_0": "AVX2", "hw.optional.avx512bw": "AVX-512", "hw.optional.avx512vnni": "AVX512-VNNI",
    "hw.optional.arm.FEAT_DotProd": "dot product", "hw.optional.arm.FEAT_I8MM": "I8MM",
}  # fmt: skip
TOOLS = ("voxc", "torch", "numpy")


class Machine(Record):
    """The machine that compiled and measured. `model` is its maker's name for it, `memory_gib` its main memory,
    `integer_features` the CPU's instructions for products of 8-bit integers."""

    model: str = ""
    cpu: str
    architecture: str
    cores: int
    memory_gib: float
    system: str
    python: str
    integer_features: tuple[str, ...] = ()


def this_machine() -> Machine:
    return Machine(
        model=machine_model(),
        cpu=cpu_name(),
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_gib=round(memory_bytes() / (1 << 30), 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        integer_features=integer_features(),
    )


def usable_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def integer_features() -> tuple[str, ...]:
    """The CPU's instructions for products of 8-bit integers, which decide how fast they are."""
    if sys.platform == "darwin":
        command = ("sysctl", *MAC_INTEGER_FLAGS)
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        return tuple(name for flag, name in MAC_INTEGER_FLAGS.items() if f"{flag}: 1" in lines)
    flags = set(CPU_INFO.read_text(encoding="utf-8", errors="replace").split()) if CPU_INFO.exists() else set()
    return tuple(name for flag, name in INTEGER_FLAGS.items() if flag in flags)


def machine_model() -> str:
    """What its maker calls the machine, as `Raspberry Pi 4 Model B Rev 1.4` or `Mac14,2`; empty where the OS does not
    tell."""
    if sys.platform == "darwin":
        return subprocess.run(("sysctl", "-n", "hw.model"), capture_output=True, text=True, check=False).stdout.strip()
    if DEVICE_TREE_MODEL.exists():
        return DEVICE_TREE_MODEL.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return ""


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory_mib() -> float:
    """The most memory that this process has held, in MiB (the OS counts in bytes on macOS and in KiB elsewhere)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def tool_versions(emitting: Iterable[str]) -> dict[str, str]:
    """Versions of the tools that shape an artifact: those of every one, and the packages that a backend emits with."""
    return {name: metadata.version(name) for name in dict.fromkeys((*TOOLS, *emitting))}
