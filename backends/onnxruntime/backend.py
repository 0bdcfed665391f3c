"""ONNX Runtime on the CPU: the target that needs nothing but pip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from voxc.backends.base import Backend, BackendOptions
from voxc.compiler.core.runner import ONNX, ONNXSIM, Artifact, Requirement, Runner, Runtime

if TYPE_CHECKING:
    from voxc.backends.lowering.table import Lowerings
    from voxc.compiler.core.program import Program
    from voxc.compiler.core.target import Target


CPU = "CPUExecutionProvider"


class OnnxRuntimeOptions(BackendOptions):
    """`provider` is what ONNX Runtime computes with; what it lacks runs on the CPU. `package` brings it."""

    provider: Literal["CPUExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider"] = "CPUExecutionProvider"
    package: str = "onnxruntime"


@dataclass(frozen=True)
class OnnxRuntimeBackend(Backend):
    provider: str = CPU
    package: str = "onnxruntime"

    name: ClassVar[str] = "onnxruntime"
    Options: ClassVar[type[BackendOptions]] = OnnxRuntimeOptions
    emit_needs: ClassVar[tuple[Requirement, ...]] = (ONNX, ONNXSIM)
    run_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("onnxruntime", "pip install voxc"),)
    device_modules: ClassVar[tuple[str, ...]] = ("voxc.compiler.device.agent.runtimes.onnxruntime",)

    def lowerings(self) -> Lowerings:
        from voxc.backends.onnx.ops import LOWERINGS

        return LOWERINGS

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        from voxc.backends.onnx import emitter, reader

        assert target.opset is not None, "targets of this backend have an opset"
        files = emitter.emit(program, target.opset, directory / f"{program.name}.onnx")
        return Artifact("onnx", tuple(files), reader.count_operators(files[0]))

    def load(self, file: Path, threads: int) -> Runner:
        from voxc.backends.onnx.runner import OnnxRuntimeRunner

        return OnnxRuntimeRunner(file, threads, provider=self.provider if self.is_here() else CPU)

    def configured(self, options: OnnxRuntimeOptions) -> OnnxRuntimeBackend:
        return replace(self, provider=options.provider, package=options.package)

    def runtime(self) -> Runtime:
        """On the CPU, where the target's own provider is missing: the numbers then are those of the same graph."""
        runtime = super().runtime()
        if self.provider == CPU:
            return runtime
        if self.is_here():
            return Runtime(f"{runtime.description} ({self.provider})", "host")
        instead = f"on the CPU ({self.package} has the target's {self.provider})"
        return Runtime(f"{runtime.description} {instead}", "reference")

    def is_here(self) -> bool:
        """Whether this machine's ONNX Runtime has the provider."""
        if self.provider == CPU:
            return True
        from voxc.compiler.core.telemetry import import_onnxruntime

        return self.provider in import_onnxruntime().get_available_providers()
