"""The agent's command: its options, and the document that it prints."""

import argparse
import gc
import importlib
import json
import os
import resource
import socket
import sys
from pathlib import Path
from typing import IO, Any, Dict, Mapping, Sequence, Type

from voxc.compiler.core.device_errors import AgentError, BundleError
from voxc.compiler.device.agent.bundle import Bundle
from voxc.compiler.device.agent.conditions import conditions
from voxc.compiler.device.agent.machine import describe_machine
from voxc.compiler.device.agent.measuring import measure_component
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.runtime import Runtime
from voxc.compiler.device.protocol import FAILED, PASSED, PROTOCOL


def parse(arguments: Sequence[str], directory: Path) -> Any:
    """Options of the command line; the bundle is in `directory` where they do not say."""
    parser = argparse.ArgumentParser(description="Runs and times a voxc bundle on this machine; prints JSON.")
    parser.add_argument("command", choices=("measure", "run", "bench", "build"))
    parser.add_argument("bundle", nargs="?", default=directory, help="a bundle directory (default: that of this file)")
    parser.add_argument("--component", action="append", default=[], help="only this one; may be given several times")
    parser.add_argument("--threads", type=int, help="of the runtime (default: the target's, else all cores)")
    parser.add_argument("--compute-units", help="of Core ML or MLX (default: the target's)")
    parser.add_argument("--engines", help="a directory for engines of TensorRT (default: the bundle)")
    parser.add_argument(
        "--timings", help="a file for TensorRT's timings of kernels (default: in the user's cache directory)"
    )
    parser.add_argument("--runs", type=int, default=100, help="how many to time at most (default: 100)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long to begin runs (default: 10)")
    parser.add_argument("--warm-up", type=int, default=2, help="untimed runs before (default: 2)")
    return parser.parse_args(arguments)


def runtime_class(backend: str, runtimes: Mapping[str, str]) -> Type[Runtime]:
    """The runtime of a backend; `runtimes` has modules by backends.

    Raises:
        BundleError: the agent was packed without it.
    """
    if backend not in runtimes:
        raise BundleError(f"the agent has no runtime {backend}; it has {', '.join(runtimes)}")
    runtime: Type[Runtime] = importlib.import_module(runtimes[backend]).RUNTIME
    return runtime


def measure(options: Any, runtimes: Mapping[str, str]) -> Dict[str, Any]:
    """The part of the document that needs the bundle and its runtime."""
    bundle = Bundle(Path(options.bundle))
    kind = runtime_class(bundle.target["backend"], runtimes)
    numpy = need(["numpy"], "pip install numpy")
    runtime = kind(bundle.target, options.threads, options.compute_units)
    components = {}
    for component in bundle.chosen(options.component):
        components[component["name"]] = measure_component(bundle, runtime, component, options)
        gc.collect()  # one network in memory at a time
    return {
        "runtime": dict(runtime.versions, numpy=numpy.__version__),
        "settings": runtime.settings,
        "components": components,
        "peak_memory_mib": peak_memory_mib(),
        "conditions": conditions(),
    }


def peak_memory_mib() -> float:
    """The largest resident set of this process. Linux counts what started a process in `ru_maxrss`, and voxc is larger
    than most networks; its `VmHWM` begins anew with the program."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return float(status.partition("VmHWM:")[2].split()[0]) / 1024  # KiB
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
        return peak / float(1 << 20 if sys.platform == "darwin" else 1 << 10)


def own_stdout() -> IO[str]:
    """The stdout that there was; what anything else writes to it from now on goes to stderr."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def main(arguments: Sequence[str], runtimes: Mapping[str, str], directory: Path) -> int:
    """Runs a command, and gives the exit code; see the package for both.

    `runtimes` has the modules of runtimes by the names of backends, `directory` is where the agent's file lies.
    """
    options = parse(arguments, directory)
    stdout = own_stdout()
    document: Dict[str, Any] = {"agent": PROTOCOL, "host": socket.gethostname(), "machine": describe_machine()}
    try:
        document.update(measure(options, runtimes))
        code = PASSED if all(each.get("passed", True) for each in document["components"].values()) else FAILED
    except AgentError as error:
        document["error"] = {"kind": error.kind, "message": str(error)}
        code = error.exit_code
    stdout.write(json.dumps(document, indent=2 if stdout.isatty() else None, sort_keys=True, allow_nan=False) + "\n")
    stdout.flush()
    return code
