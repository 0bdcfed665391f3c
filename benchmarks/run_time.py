"""How long commands take from their start to their end, the most memory that they hold, and what they take on disk.

    python benchmarks/run_time.py [--runs 9] [--onnxruntime BUNDLE] [--tflite BUNDLE]

Help, the completion of a target's name, inspecting a bundle, and converting 8 s of speech with the demo voice, which is
compiled first for each bundle that is not named. The commands run in turn; medians of all but a first run each. Sizes
are those of the files of installed packages: what `pip install voxc` brings, and what its extra `compile` adds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import soundfile
from packaging.requirements import Requirement

from voxc.compiler.core.machine import cpu_name, usable_cores
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import DEMO, demo_sample
from voxc.compiler.request import Request

SECONDS = 8
#: The program `voxc`, whose name is a part of how shells ask for completions.
PROGRAM = [sys.executable, "-c", "import sys; sys.argv[0] = 'voxc'; from voxc.compiler.cli.main import main; main()"]
#: Runs a program and says how it ended, its seconds, and its `ru_maxrss`: that of a child is never less than its
#: parent's, so the parent is as small as Python can be.
LAUNCHER = """\
import os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - started, used.ru_maxrss)
"""
COMPLETION = {"_VOXC_COMPLETE": "complete_bash", "COMP_WORDS": "voxc compile demo --target onn", "COMP_CWORD": "4"}
TARGETS = {"onnxruntime": "onnxruntime-cpu", "tflite": "tflite-float32"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    for backend in TARGETS:
        parser.add_argument(f"--{backend}", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles = {backend: getattr(options, backend) or compiled(backend, folder) for backend in TARGETS}
        measured = measure(commands(bundles, folder), options.runs)
    print(f"{cpu_name()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}; medians of {options.runs}\n")
    print(f"{'':22} {'seconds':>8} {'peak MB':>8}")
    for command, runs in measured.items():
        seconds, peak = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{command:22} {seconds:8.2f} {peak:8.0f}")
    running, compiling = distributions(), distributions("compile")
    print(f"\n{'pip install voxc':22} {size(running):8.0f} MB in {len(running)} packages")
    added = {name: each for name, each in compiling.items() if name not in running}
    print(f"{'voxc[compile] adds':22} {size(added):8.0f} MB in {len(added)} packages")


def compiled(backend: str, folder: Path) -> Path:
    """A bundle of the demo voice."""
    request = Request(DEMO, (load_targets()[TARGETS[backend]],), folder / backend, convert=False)
    ((place, _),) = compile_model(request)
    return place


def commands(bundles: dict[str, Path], folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is measured: arguments, and what the environment has beside this one's."""
    samples, rate = soundfile.read(demo_sample(), dtype="float32")
    speech = folder / "speech.wav"
    soundfile.write(speech, np.resize(samples, SECONDS * rate), rate)
    result: dict[str, tuple[list[str], dict[str, str]]] = {
        "help": (["--help"], {}),
        "completion": ([], COMPLETION),
        "inspect": (["inspect", str(bundles["onnxruntime"])], {}),
    }
    for backend, bundle in bundles.items():
        arguments = ["convert", str(speech), "--bundle", str(bundle), "--output", str(folder / "converted.wav")]
        result[f"convert, {backend}"] = arguments, {}
    return result


def measure(todo: dict[str, tuple[list[str], dict[str, str]]], runs: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and peak MB of each run but the first, in turn."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    for run in range(runs + 1):
        for name, (arguments, environment) in todo.items():
            result = once([*PROGRAM, *arguments], environment)
            if run:
                measured[name].append(result)
    return measured


def once(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, env=os.environ | environment, check=True)
    code, seconds, peak = done.stdout.split()
    if int(code):
        sys.exit(f"run_time: {' '.join(command)} ended with {code}")
    return float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024) / 1e6


def distributions(extra: str = "") -> dict[str, metadata.Distribution]:
    """What voxc requires with an extra, and all that this requires, by name; voxc itself is left out."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(text, extra) for text in metadata.requires("voxc") or []]
    while waiting:
        text, wanted = waiting.pop()
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": wanted}):
            continue
        distribution = metadata.distribution(requirement.name)
        if distribution.name not in found:
            found[distribution.name] = distribution
            waiting += [(each, "") for each in distribution.requires or []]
    return found


def size(found: dict[str, metadata.Distribution]) -> float:
    """In MB."""
    files = [Path(str(file.locate())) for each in found.values() for file in each.files or ()]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
