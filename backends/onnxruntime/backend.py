"""ONNX Runtime on the CPU: the target that needs nothing but pip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from torch import fx

from voxc.backends.base import Backend
from voxc.compiler.core.program import Program
from voxc.compiler.core.runner import Artifact, Requirement, Runner
from voxc.compiler.core.target import Target


class OnnxRuntimeBackend(Backend):
    name: ClassVar[str] = "onnxruntime"
    emit_needs: ClassVar[tuple[Requirement, ...]] = (
        Requirement("onnx", "pip install voxc"),
        Requirement("onnxsim", "pip install voxc"),
    )
    run_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("onnxruntime", "pip install voxc"),)
    device_modules: ClassVar[tuple[str, ...]] = ("voxc.compiler.device.agent.runtimes.onnxruntime",)

    def unsupported(self, program: Program) -> list[fx.Node]:
        from voxc.backends.onnx.emitter import unsupported

        return unsupported(program)

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        from voxc.backends.onnx import emitter, reader

        assert target.opset is not None, "targets of this backend have an opset"
        files = emitter.emit(program, target.opset, directory / f"{program.name}.onnx")
        return Artifact("onnx", tuple(files), reader.count_operators(files[0]))

    def load(self, file: Path, threads: int) -> Runner:
        from voxc.backends.onnx.runner import OnnxRuntimeRunner

        return OnnxRuntimeRunner(file, threads)
