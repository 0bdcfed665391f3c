"""Where the operators of a full-size voice are expected to run on Apple's Neural Engine: `voxc explain`, summed up.

    python benchmarks/ane_residency.py [--voice-only] [--frames N]

Compiles an RVC v2 40k voice and a content encoder of HuBERT base's size for apple-ane, both with random weights, at the
default segment, and prints for each component the share of multiply-accumulates that the engine is expected to take, by
generation, those beyond its limit of width, and the transposes left. Exits with 1 if the latest generation is expected
to take less than 90 % of a component, or if any of its work is beyond that limit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from full_size import write_content, write_voice
from rich.console import Console
from rich.table import Table

from voxc.compiler.explain import Explanation, explain_bundle, generations
from voxc.compiler.manifest import read_manifest

LEAST_SHARE = 0.9
ENGINE = "ANE"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice-only", action="store_true")
    parser.add_argument("--frames", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voice = [str(write_voice(folder / "voice.pth"))]
        voice += [] if given.voice_only else ["--content", str(write_content(folder / "content"))]
        voice += ["--frames", str(given.frames)] if given.frames else []
        bundle = folder / "bundle"
        command = [sys.executable, "-m", "voxc.compiler", "compile", *voice, "--target", "apple-ane", "--no-sample"]
        done = subprocess.run([*command, "-o", str(bundle)], check=False)
        if done.returncode > 1:
            raise SystemExit(done.returncode)
        explanations = explain_bundle(bundle)
        recipe = read_manifest(bundle).build.recipe
    Console(width=120).print(table_of(explanations, f"{recipe.frames} frames. {recipe.why_frames}"))
    raise SystemExit(0 if all(map(resides, explanations)) else 1)


def table_of(explanations: tuple[Explanation, ...], title: str) -> Table:
    table = Table(
        "component", "operators", "transposes", "GMAC", "generation", "on the ANE", "beyond its width", title=title
    )
    for each in explanations:
        total = sum(placement.macs for placement in each.placements)
        transposes = sum(placement.op == "transpose" for placement in each.placements)
        told = (each.component, str(len(each.placements)), str(transposes), f"{total / 1e9:.2f}")
        beyond = f"{wide(each) / 1e9:.2f}"
        for generation in generations(each.placements):
            table.add_row(*told, generation, f"{100 * share(each, generation):.1f} %", beyond)
            told, beyond = ("", "", "", ""), ""
    return table


def share(explanation: Explanation, generation: str) -> float:
    """Of the multiply-accumulates, those that the engine takes; 1 if there are none."""
    found = generations(explanation.placements)[generation]
    total = sum(macs for _, macs in found.values())
    return found.get(ENGINE, (0, 0))[1] / total if total else 1.0


def wide(explanation: Explanation) -> int:
    """Multiply-accumulates that are elsewhere because something is too long for the latest generation."""
    return sum(each.macs for each in explanation.placements if each.rule == "axis")


def resides(explanation: Explanation) -> bool:
    latest = next(iter(generations(explanation.placements)))
    return share(explanation, latest) >= LEAST_SHARE and wide(explanation) == 0


if __name__ == "__main__":
    main()
