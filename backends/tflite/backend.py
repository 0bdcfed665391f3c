"""TensorFlow Lite on CPUs: files that ai-edge-litert and its predecessor tflite-runtime run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from voxc.backends.base import Backend
from voxc.compiler.core.runner import Artifact, Requirement, Runner

if TYPE_CHECKING:
    from voxc.backends.lowering.table import Lowerings
    from voxc.compiler.core.program import Program
    from voxc.compiler.core.target import Target


class TfliteBackend(Backend):
    name: ClassVar[str] = "tflite"
    emit_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("ai-edge-litert", "pip install 'voxc[tflite]'"),)
    run_needs: ClassVar[tuple[Requirement, ...]] = emit_needs
    device_modules: ClassVar[tuple[str, ...]] = ("voxc.compiler.device.agent.runtimes.tflite",)

    def lowerings(self) -> Lowerings:
        self.require(self.emit_needs, "emit TFLite files")
        from voxc.backends.tflite.ops import LOWERINGS

        return LOWERINGS

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        from voxc.backends.tflite import emitter, reader

        file = directory / f"{program.name}.tflite"
        emitter.emit(program, file)
        oldest = f"TensorFlow Lite {reader.runtime_of(file)}"
        return Artifact("tflite", (file,), reader.count_operators(file), oldest)

    def load(self, file: Path, threads: int) -> Runner:
        self.require(self.run_needs, "run TFLite files")
        from voxc.backends.tflite.runner import TfliteRunner

        return TfliteRunner(file, threads)
