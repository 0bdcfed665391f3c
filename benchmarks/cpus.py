"""CPUs that this machine has, can pretend to have, or can emulate, and bundles on each of them; for `other_cpus.py`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import arm_environment
import numpy as np
import older_x86
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from stock_recipes import last_line

from voxc.backends import BACKENDS
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tflite.runner import quiet_runtime
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.machine import cpu_name
from voxc.compiler.core.tensor import Array
from voxc.compiler.device.pack import NAME as AGENT
from voxc.compiler.device.pack import pack

BUILD = Path(__file__).resolve().parents[1] / "build"
ARM = BUILD / "arm"
#: Of the components of a bundle by name: SNR in dB to float32 PyTorch; inf for equal outputs, -inf for non-finite ones.
Ratios = Mapping[str, float]

MASKED = {
    "x86 AVX-512": ("avx512", "AVX-512 without VNNI, as on Skylake-X: this machine, instructions masked"),
    "x86 AVX2": ("avx2", "AVX2 without VNNI: this machine, instructions masked"),
    "x86 SSE4": ("sse4", "SSE4.2: this machine, instructions masked"),
}
EMULATED = {
    "Haswell": ("x86_64", "Haswell", "AVX2 without VNNI, emulated"),
    "Cortex-A72": ("aarch64", "cortex-a72", "Raspberry Pi 4, without dot product, emulated"),
    "Cortex-A76": ("aarch64", "cortex-a76", "Raspberry Pi 5, with dot product, emulated"),
    # QEMU 7.2 gives LiteRT's kernels for SME wrong products, which QEMU 10.0 does not.
    "Arm I8MM": ("aarch64", "max,sme=off", "Armv8.6 and later: dot product, I8MM and SVE, emulated"),
}
#: Of all CPUs, in the order of `cpus()`.
NAMES = ("exact", "here", *MASKED, *EMULATED)


class RunError(Exception):
    """A CPU is there, and does not run a bundle."""


@dataclass(frozen=True)
class Cpu:
    """Something that runs a bundle; `missing` says why it cannot."""

    name: str
    about: str
    run: Callable[[Path], Ratios]
    missing: str = ""


def cpus() -> list[Cpu]:
    """All of them, the exact one first."""
    return [
        Cpu("exact", "exact integers: ONNX Runtime unoptimised, LiteRT's reference kernels", exact),
        Cpu("here", f"this machine: {cpu_name()}", by_agent([sys.executable])),
        *(masked(name, *how) for name, how in MASKED.items()),
        *(emulated(name, *how) for name, how in EMULATED.items()),
    ]


def masked(name: str, level: str, about: str) -> Cpu:
    try:
        library = older_x86.library(level)
    except older_x86.OlderCpuError as error:
        return Cpu(name, about, by_agent([]), str(error))
    return Cpu(name, about, by_agent([sys.executable], {"LD_PRELOAD": str(library)}))


def emulated(name: str, architecture: str, model: str, about: str) -> Cpu:
    emulator = f"qemu-{architecture}"
    command, missing = [emulator, "-cpu", model], ""
    try:
        command += arm_environment.python(ARM) if architecture == "aarch64" else [sys.executable]
    except arm_environment.ArmEnvironmentError as error:
        missing = str(error)
    if shutil.which(emulator) is None:
        missing = f"{emulator} is not installed (Debian: qemu-user)"
    elif architecture == "x86_64" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        missing = "runs the Python of Linux on x86-64, which this is not"
    return Cpu(name, about, by_agent(command), missing)


def by_agent(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Callable[[Path], Ratios]:
    """What runs bundles by the agent, which needs no more than NumPy and the runtime, in the Python of `command`."""

    def run(bundle: Path) -> Ratios:
        agent = BUILD / AGENT
        BUILD.mkdir(exist_ok=True)
        agent.write_bytes(pack(list(BACKENDS.values())))
        done = subprocess.run(
            [*command, str(agent), "run", str(bundle), "--threads", "1"],
            env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            document = json.loads(done.stdout)
        except ValueError:
            raise RunError(f"exit status {done.returncode}: {last_line(done.stderr)}") from None
        if "error" in document:
            raise RunError(document["error"]["message"])
        return {name: ratio(component) for name, component in document["components"].items()}

    return run


def ratio(component: Mapping[str, float | bool | None]) -> float:
    if component["snr_db"] is None:
        return np.inf if component["passed"] else -np.inf
    return component["snr_db"]


def exact(directory: Path) -> Ratios:
    """The same files with sums that nothing can saturate.

    ONNX Runtime computes an unoptimised graph node by node, and thus in floats, which hold integers and products of
    them exactly. LiteRT's reference kernels sum products in 32 bits; they round to 8 bits in a way of their own, and so
    differ from all others by some tenths of a dB.
    """
    bundle = Bundle.open(directory)
    ratios = {}
    for component in bundle.manifest.build.components:
        tensors = bundle.reference(component.name)
        inputs = {spec.name: np.ascontiguousarray(tensors[spec.name], spec.dtype) for spec in component.inputs}
        file = bundle.path(component.files[0])
        outputs = reference_kernels(file, inputs) if file.suffix == ".tflite" else unoptimised(file, inputs)
        ratios[component.name] = min(snr_db(tensors[spec.name], outputs[spec.name]) for spec in component.outputs)
    return ratios


def unoptimised(file: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return OnnxRuntimeRunner(file, threads=1, optimized=False).run(inputs)


def reference_kernels(file: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    with quiet_runtime():
        interpreter = Interpreter(str(file), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
