"""What bundles come to on other CPUs: SNR to float32 PyTorch of each component, on every CPU that can be had here.

    python benchmarks/other_cpus.py [--bundle DIR ...] [--only PATTERN] [--cpu PATTERN ...] [--reuse] [--json FILE]
    python benchmarks/other_cpus.py --make-arm-environment ...

Kernels for integers are others on each kind of CPU, and not all are exact: on x86 without VNNI, ONNX Runtime adds two
products in 16 bits, where they saturate (docs/reference/precision.md). The CPUs are

- exact arithmetic, to compare with;
- this machine as it is, and with its newer instructions masked (`older_x86.py`), at full speed;
- an AVX2-only CPU and Arm cores, which QEMU emulates (Debian: `qemu-user`); for Arm `--make-arm-environment` makes an
  arm64 Python in build/arm, 230 MB.

Those that cannot be had are listed with the reason, and left out.

Bundles of the demo voice (segments of 1 s) and of a full-size v2 40k voice with random weights (0.2 s) are compiled to
build/other_cpus/, in float32, int8 and by the automatic plan, unless --bundle names others; --reuse takes those that an
earlier run has compiled.

It fails if a component is below its bound on any CPU, if CPUs are more than 1 dB apart, or if one cannot run a bundle.
Ratios above 60 dB count as 60: what differs there is the rounding of float32. Plain int8 gets a bound of 5 dB, for it
promises no quality; it only has to be the same everywhere.

All of this is about results, on one thread, and never about time. For the times of integers without VNNI:

    LD_PRELOAD=$(python benchmarks/older_x86.py avx2) python benchmarks/rvc_int8.py
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arm_environment
from cpus import ARM, BUILD, NAMES, Cpu, RunError, cpus
from full_size import write_voice
from stock_recipes import last_line

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import VoxcError
from voxc.compiler.core.machine import tool_versions

FOLDER = BUILD / "other_cpus"
TARGETS = ("onnxruntime-cpu", "raspberry-pi", "tflite-int8")
PRECISIONS = {"fp32": (), "int8": ("--min-snr", "5"), "auto": ()}
FRAMES = {"demo": 100, "v2_40k": 20}
APART, AUDIBLE = 1.0, 60.0  # dB


@dataclass(frozen=True)
class Row:
    """One component: SNR in dB by the CPU's name, and the bound that it has to keep."""

    bundle: str
    component: str
    bound: float
    ratios: Mapping[str, float]

    @property
    def spread(self) -> float:
        counted = [min(ratio, AUDIBLE) for ratio in self.ratios.values()]
        return max(counted) - min(counted)

    @property
    def faults(self) -> list[str]:
        below = [name for name, ratio in self.ratios.items() if ratio < self.bound]
        faults = [f"below {self.bound:g} dB on {', '.join(below)}"] if below else []
        return faults + [f"CPUs are {self.spread:.1f} dB apart"] * (self.spread > APART)


def main() -> None:
    options = parse()
    chosen = [cpu for cpu in cpus() if any(matches(cpu.name, pattern) for pattern in options.cpu)]
    present = [cpu for cpu in chosen if not cpu.missing]
    show_cpus(chosen)
    rows: list[Row] = []
    failures: list[str] = []
    for name, bundle in bundles(options, failures):
        made, failed = run(name, bundle, present)
        failures += failed
        for row in made:
            failures += [f"{name}, {row.component}: {fault}" for fault in row.faults]
        rows += made
    show(rows, [cpu.name for cpu in present])
    print(*failures, sep="\n")
    if options.json:
        options.json.write_text(json.dumps(document(chosen, rows, failures), indent=2) + "\n")
    sys.exit(1 if failures else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, nargs="+", metavar="DIR", help="bundles to take, and none to compile")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="bundles, as `demo-*-int8`")
    parser.add_argument("--cpu", nargs="+", default=["*"], metavar="PATTERN", help="as `exact here 'x86*'`")
    parser.add_argument("--reuse", action="store_true", help="take the bundles that an earlier run has compiled")
    parser.add_argument("--make-arm-environment", action="store_true", help="in build/arm; 230 MB, needs Debian")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    for pattern in options.cpu:
        if not any(matches(name, pattern) for name in NAMES):
            parser.error(f"argument --cpu: {pattern!r} matches none of {', '.join(NAMES)}")
    if not chosen_bundles(options):
        parser.error(f"argument --only: {options.only!r} matches none of {', '.join(bundle_names(options))}")
    if options.make_arm_environment:
        try:
            arm_environment.make(ARM)
        except arm_environment.ArmEnvironmentError as error:
            sys.exit(f"other_cpus: {error}")
    return options


def bundle_names(options: argparse.Namespace) -> list[str]:
    """The bundles of --bundle by name, or else those that are compiled here."""
    if options.bundle:
        return [place.name for place in options.bundle]
    return ["-".join(parts) for parts in itertools.product(FRAMES, TARGETS, PRECISIONS)]


def chosen_bundles(options: argparse.Namespace) -> list[str]:
    return [name for name in bundle_names(options) if matches(name, options.only)]


def matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def bundles(options: argparse.Namespace, failures: list[str]) -> Iterator[tuple[str, Path]]:
    """Names and directories, each compiled when it is its turn; what cannot be compiled is among the failures."""
    if options.bundle:
        yield from ((place.name, place) for place in options.bundle if matches(place.name, options.only))
        return
    chosen = chosen_bundles(options)
    for voice, target, precision in itertools.product(FRAMES, TARGETS, PRECISIONS):
        place = FOLDER / f"{voice}-{target}-{precision}"
        if place.name not in chosen:
            continue
        complaint = None if options.reuse and place.exists() else compiled(voice, target, precision, place)
        if complaint:
            failures.append(f"{place.name}: {complaint}")
        else:
            yield place.name, place


def compiled(voice: str, target: str, precision: str, place: Path) -> str | None:
    """Compiles a bundle in a process of its own; why there is none, else None."""
    print(f"{place.name}: compiling", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = voice
    if voice != "demo":
        checkpoint = FOLDER / f"{voice}.pth"
        model = str(checkpoint if checkpoint.exists() else write_voice(checkpoint, voice))
    if place.exists():
        shutil.rmtree(place)
    command = [sys.executable, "-m", "voxc.compiler", "compile", model, "--target", target, "--output", str(place)]
    command += ["--precision", precision, "--frames", str(FRAMES[voice]), "--threads", "1", "--no-sample"]
    done = subprocess.run([*command, *PRECISIONS[precision]], capture_output=True, text=True, check=False)
    # A bundle below its bound is written, and fails the command.
    return None if place.exists() else last_line(done.stderr)


def run(name: str, directory: Path, present: Sequence[Cpu]) -> tuple[list[Row], list[str]]:
    """The rows of a bundle, and which CPUs failed to run it."""
    ratios: dict[str, Mapping[str, float]] = {}
    failures = []
    for cpu in present:
        print(f"{name}: {cpu.name}", file=sys.stderr)
        try:
            ratios[cpu.name] = cpu.run(directory)
        except (RunError, VoxcError) as error:
            failures.append(f"{name}: {cpu.name}: {error}")
    components = Bundle.open(directory).manifest.build.components if ratios else ()
    rows = [
        Row(name, each.name, each.min_snr_db, {cpu: by_name[each.name] for cpu, by_name in ratios.items()})
        for each in components
    ]
    return rows, failures


def show_cpus(chosen: Sequence[Cpu]) -> None:
    print(", ".join(f"{tool} {version}" for tool, version in tool_versions(["onnxruntime", "ai-edge-litert"]).items()))
    width = max((len(cpu.name) for cpu in chosen), default=0)
    for cpu in chosen:
        print(f"{cpu.name:{width}}  {cpu.about}" + (f"; none: {cpu.missing}" if cpu.missing else ""))
    print(flush=True)


def show(rows: Sequence[Row], names: Sequence[str]) -> None:
    titles = [f"{row.bundle}, {row.component}" for row in rows]
    width = max(map(len, titles), default=0)
    print(" " * width + "".join(f"  {name:>6}" for name in (*names, "spread", "bound")))
    for title, row in zip(titles, rows, strict=True):
        ratios = {name: f"{row.ratios[name]:.1f}" if name in row.ratios else "-" for name in names}
        cells = {**ratios, "spread": f"{row.spread:.1f}", "bound": f"{row.bound:g}"}
        print(f"{title:{width}}" + "".join(f"  {cell:>{max(len(name), 6)}}" for name, cell in cells.items()))


def document(chosen: Sequence[Cpu], rows: Sequence[Row], failures: Sequence[str]) -> dict[str, Any]:
    """What `--json` writes. SNR is null where outputs are equal, or not finite; then a failure says so."""
    return {
        "versions": tool_versions(["onnxruntime", "ai-edge-litert"]),
        "cpus": [{"name": cpu.name, "about": cpu.about, "missing": cpu.missing or None} for cpu in chosen],
        "rows": [
            {
                "bundle": row.bundle, "component": row.component, "min_snr_db": row.bound, "spread_db": row.spread,
                "snr_db": {name: ratio if math.isfinite(ratio) else None for name, ratio in row.ratios.items()},
            }
            for row in rows
        ],
        "failures": list(failures),
    }  # fmt: skip


if __name__ == "__main__":
    main()
