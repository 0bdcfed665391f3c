"""What the MLX functions of a full-size v2 40k voice and of an encoder of HuBERT base's size move about in memory.

PYTHONPATH=. python benchmarks/mlx_layout.py [frames]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from full_size import write_content, write_voice

from tests.backends.mlx.layout import layout_changes
from voxc.backends.mlx import emitter
from voxc.backends.mlx.reader import read
from voxc.compiler.core.program import export
from voxc.compiler.core.target import load_targets
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision


def main(frames: int) -> None:
    target = load_targets()["apple-mlx"]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        voice = load_voice(VoiceFiles(write_voice(folder / "v2_40k.pth"), content=write_content(folder / "content")))
        for component in voice.components:
            program = export(component, voice.sizes_of(component, frames), dynamic=False)
            started = time.perf_counter()
            for each in (*pipeline(target), AnnotatePrecision("fp16")):
                program = each(program, target).program
            files = emitter.emit(program, folder / "out" / component.name)
            seconds = time.perf_counter() - started
            function = read(files[0])
            kinds = Counter(operation.name for operation in layout_changes(function))
            told = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items()))
            print(
                f"{component.name}: {sum(kinds.values())} of {len(function.operations)} operations only move data "
                f"({told}); {[file.stat().st_size for file in files]} bytes; passes and emission {seconds:.1f} s"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 160)
