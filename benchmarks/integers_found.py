"""What int8 comes to where nothing can be timed: by policy, how much of a voice is in integers, and what is left of it.

Compiles voices for targets and prints for each component the share of its multiply-accumulates in int8, how many nodes
of the plan these are, what they save by the estimate, and the SNR to float32 PyTorch on inputs that nothing was
calibrated on, as found by whatever runs the artifact here, and rehearsed as coarsely as the device will compute.

    python benchmarks/integers_found.py [VOICE...] [--targets apple-ane jetson-orin-nano-jp6] [--policies int8 auto]
                                        [--observer mse] [--implicit]

VOICE is a checkpoint or a directory; by default the demo voice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voxc.compiler.core.figure import Figure
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import demo_directory
from voxc.compiler.manifest import Manifest
from voxc.compiler.request import Request

NONE = Figure(value=None, unit="", evidence=None, how="nothing in int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", type=Path, nargs="*", default=[demo_directory()], metavar="VOICE")
    parser.add_argument("--targets", nargs="+", default=["apple-ane", "jetson-orin-nano-jp6"])
    parser.add_argument("--policies", nargs="+", default=["int8", "auto"])
    parser.add_argument("--observer")
    parser.add_argument("--implicit", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    titles = (
        "voice", "target", "policy", "component", "int8 MACs, %", "int8 nodes", "saved", "SNR, dB", "rehearsed, dB",
        "bundle", "s",
    )  # fmt: skip
    table = Table(*titles, box=None)
    for voice in options.voices:
        for target in options.targets:
            for policy in options.policies:
                recipe = PrecisionRecipe().with_options([policy], observer=options.observer, implicit=options.implicit)
                add_rows(table, voice, target, recipe, options.threads)
    Console(width=165).print(table)


def add_rows(table: Table, voice: Path, target: str, recipe: PrecisionRecipe, threads: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            voice, (load_targets()[target],), Path(folder) / "bundle", precision=recipe, threads=threads, convert=False
        )  # fmt: skip
        started = time.perf_counter()
        ((_, manifest),) = compile_model(request)
        seconds = time.perf_counter() - started
    for row in rows(manifest):
        table.add_row(voice.stem, target, str(recipe.policy), *row, manifest.status, f"{seconds:.0f}")


def rows(manifest: Manifest) -> list[list[str]]:
    found = []
    for component in manifest.build.components:
        figures = manifest.measurements.components[component.name].figures
        nodes = component.precision_histogram.get("int8", 0)
        shown = [figures.get(name, NONE) for name in ("int8_macs", "saved_by_int8", "snr", "snr_rehearsed")]
        share, saved, *ratios = ("-" if each.value is None else f"{each.value:.3g} {each.unit}" for each in shown)
        snr = [each.removesuffix(" dB") for each in ratios]
        found.append([component.name, share.removesuffix(" %"), str(nodes), saved, *snr])
    return found


if __name__ == "__main__":
    main()
