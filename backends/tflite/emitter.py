"""A program as a TFLite file."""

from __future__ import annotations

from pathlib import Path

from voxc.backends.tflite.builder import TfliteBuilder
from voxc.backends.tflite.ops import LOWERINGS
from voxc.compiler.core.program import Program


def emit(program: Program, path: Path) -> None:
    """Writes the program.

    Raises:
        UnsupportedError: a call has no lowering, or one that does not cover its arguments.
    """
    build = TfliteBuilder(program)
    build.lower_graph(LOWERINGS)
    content = build.file.pack(build.inputs, build.outputs)
    with path.open("wb") as stream:
        stream.write(content)
