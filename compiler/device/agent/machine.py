"""The machine that the agent is on."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List


def describe_machine() -> Dict[str, Any]:
    return {
        "model": machine_model(),
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / float(1 << 30), 1),
        "system": system_name(),
        "python": platform.python_version(),
        "integer_features": integer_features(),
    }


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_model() -> str:
    """What its maker calls the machine; empty where the OS does not say."""
    if sys.platform == "darwin":
        return output_of(["sysctl", "-n", "hw.model"])
    return read("/proc/device-tree/model")


def cpu_name() -> str:
    if sys.platform == "darwin":
        return output_of(["sysctl", "-n", "machdep.cpu.brand_string"])
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


#: What Linux and macOS call the instructions for products of 8-bit integers, and what the field does.
INTEGER_FLAGS = {
    "avx2": "AVX2", "avx512bw": "AVX-512", "avx_vnni": "AVX-VNNI", "avx512_vnni": "AVX512-VNNI",
    "avx_vnni_int8": "AVX-VNNI-INT8", "amx_int8": "AMX-INT8", "asimddp": "dot product", "i8mm": "I8MM",
}  # fmt: skip
MAC_INTEGER_FLAGS = {
    "hw.optional.avx2_0": "AVX2", "hw.optional.avx512bw": "AVX-512", "hw.optional.avx512vnni": "AVX512-VNNI",
    "hw.optional.arm.FEAT_DotProd": "dot product", "hw.optional.arm.FEAT_I8MM": "I8MM",
}  # fmt: skip


def integer_features() -> List[str]:
    """The CPU's instructions for products of 8-bit integers."""
    if sys.platform == "darwin":
        return [name for flag, name in MAC_INTEGER_FLAGS.items() if output_of(["sysctl", "-n", flag]) == "1"]
    flags = set(read("/proc/cpuinfo").split())
    return [name for flag, name in INTEGER_FLAGS.items() if flag in flags]


def system_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()}"


def read(path: str) -> str:
    """A small file of the OS; empty if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def output_of(command: List[str]) -> str:
    """What a tool of the OS prints; empty if there is none, or it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
