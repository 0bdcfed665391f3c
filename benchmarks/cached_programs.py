"""How long it takes to save and load the exported program of a full-size voice, beside exporting it.

    python benchmarks/cached_programs.py [VOICE] [--frames 200]

VOICE is one of RVC v2 40k with random weights unless it is named. Medians of `--runs`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from full_size import write_voice

from voxc.compiler.cache.programs import load_program, save_program
from voxc.compiler.cache.store import Store
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import export
from voxc.compiler.families.rvc.files import find_voice
from voxc.compiler.families.rvc.voice import load_voice

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voice", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.voice or write_voice(folder / "voice.pth")
        voice, seconds = timed(lambda: load_voice(find_voice(path)))
        print(f"{path.name}: the checkpoint is read in {seconds:.2f} s")
        for component in voice.components:
            for dynamic in (False, True):
                measure(component, options.frames, dynamic, Store(folder / "cache"), options.runs)


def measure(component: Component, frames: int, dynamic: bool, store: Store, runs: int) -> None:
    program, exporting = timed(lambda: export(component, {"T": frames}, dynamic))
    key = f"{program.name}-{dynamic}"
    _, saving = timed(lambda: store.write("programs", key, lambda place: save_program(program, place)))
    loading = statistics.median(timed(lambda: store.read("programs", key, load_program))[1] for _ in range(runs))
    size = next(entry.bytes for entry in store.entries() if entry.key == key)
    print(
        f"{program.name}{', dynamic' * dynamic}: {size / 1e6:.1f} MB; exported in {exporting:.2f} s, "
        f"saved in {saving:.2f} s, loaded in {loading:.2f} s (digests included)"
    )


def timed(function: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
