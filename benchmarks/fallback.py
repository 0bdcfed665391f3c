"""What fallbacks cost: bytes, and time where they run, in turn with the artifact and with eager PyTorch.

    python benchmarks/fallback.py [--voice demo] [--segment 4] [--threads 1] [--runs 9]

Compiles the voice for `onnxruntime-cpu` with `--with-fallback`, and runs the reference inputs of its components.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import DEFAULT_INDEX_BUDGET, find_voice
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.measure.latency import interleave
from voxc.compiler.request import Request
from voxc.compiler.runtime.component import load_component
from voxc.compiler.runtime.fallback import load_fallback

MOST_SECONDS = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, default=Path("demo"))
    parser.add_argument("--segment", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    table = Table(
        "component",
        "artifact, MB",
        "fallback, MB",
        "opened, s",
        "first run, s",
        "artifact, ms",
        "fallback, ms",
        "eager, ms",
    )
    with tempfile.TemporaryDirectory() as name:
        target = load_targets()["onnxruntime-cpu"]
        request = Request(
            given.voice, (target,), Path(name) / "bundle", segment=given.segment, threads=given.threads, convert=False,
            fallback=True,
        )  # fmt: skip
        ((place, _),) = compile_model(request)
        bundle = Bundle.open(place)
        for component in load_voice(find_voice(given.voice), DEFAULT_INDEX_BUDGET).components:
            table.add_row(component.name, *row(bundle, component, given.threads, given.runs))
    Console(width=130).print(table, f"{given.segment:g} s, {given.threads} threads, medians of {given.runs}", sep="\n")


def row(bundle, component, threads, runs):
    """Figures of one component as text."""
    record = bundle.manifest.component(component.name)
    tensors = bundle.reference(component.name)
    inputs = {spec.name: tensors[spec.name] for spec in record.inputs}
    started = time.perf_counter()
    fallback = load_fallback(bundle, record, threads)
    opened = time.perf_counter() - started
    fallback.run(inputs)
    first = time.perf_counter() - started - opened
    artifact = load_component(bundle, component.name, threads)
    eager = {name: torch.from_numpy(array) for name, array in inputs.items()}
    taken = interleave(
        {"artifact": lambda: artifact.run(inputs), "fallback": lambda: fallback.run(inputs),
         "eager": lambda: component.run(eager)}, runs, MOST_SECONDS
    )  # fmt: skip
    sizes = [sum(file.bytes for file in files) / 1e6 for files in (record.files, record.fallback)]
    return (*(f"{size:.2f}" for size in sizes), f"{opened:.2f}", f"{first:.2f}",
            *(f"{latency.median * 1e3:.1f}" for latency in taken.values()))  # fmt: skip


if __name__ == "__main__":
    main()
