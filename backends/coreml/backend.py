"""Core ML: packages with ML programs, for the Neural Engine, the GPU and the CPU of Apple's machines."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from voxc.backends.base import Backend
from voxc.compiler.core.runner import TORCH, Artifact, Placement, Requirement, Runner, Runtime

if TYPE_CHECKING:
    from voxc.backends.lowering.table import Lowerings
    from voxc.compiler.core.program import Program
    from voxc.compiler.core.target import Target
    from voxc.compiler.manifest import TargetRecord

#: Apple's systems that came with the same Core ML.
SYSTEMS = {"iOS16": "macOS 13", "iOS17": "macOS 14", "iOS18": "macOS 15", "iOS26": "macOS 26"}


class CoreMLBackend(Backend):
    name: ClassVar[str] = "coreml"
    emit_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("coremltools", "pip install 'voxc[coreml]'"),)
    #: Off a Mac, the interpreter computes with PyTorch.
    run_needs: ClassVar[tuple[Requirement, ...]] = emit_needs if sys.platform == "darwin" else (*emit_needs, TORCH)
    device_modules: ClassVar[tuple[str, ...]] = ("voxc.compiler.device.agent.runtimes.coreml",)

    def lowerings(self) -> Lowerings:
        self.require(self.emit_needs, "emit Core ML packages")
        from voxc.backends.coreml.ops import LOWERINGS

        return LOWERINGS

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        from voxc.backends.coreml import emitter, reader
        from voxc.backends.coreml.package import read_program

        package = directory / f"{program.name}.mlpackage"
        files = emitter.emit(program, target, package, lengths)
        written = read_program(package)
        system = reader.deployment_of(written)
        oldest = None if system is None else f"{system}, {SYSTEMS[system]}"
        return Artifact("mlpackage", files, reader.count_operators(written), oldest)

    def load(self, file: Path, threads: int) -> Runner:
        """Core ML itself where it is, else the interpreter."""
        self.require(self.run_needs, "run Core ML packages")
        if self.has_core_ml():
            from voxc.backends.coreml.runner import CoreMLRunner

            return CoreMLRunner(file.parent)
        from voxc.backends.coreml.interpreter import Interpreter

        return Interpreter(file.parent, threads)

    def runtime(self) -> Runtime:
        if self.has_core_ml():
            return Runtime(f"Core ML of macOS {platform.mac_ver()[0]}", "host")
        return Runtime(f"voxc's interpreter of ML programs, torch {TORCH.version or '(missing)'}", "reference")

    def explain(self, file: Path, target: TargetRecord) -> tuple[Placement, ...]:
        """By the rules of residency.yaml: a prediction."""
        self.require(self.emit_needs, "read Core ML packages")
        from voxc.backends.coreml.residency import placements

        width, units = (target.capabilities.get(key) for key in ("max_width", "compute_units"))
        return placements(
            file.parent, width if isinstance(width, int) else None, units if isinstance(units, str) else None
        )

    @staticmethod
    def has_core_ml() -> bool:
        return sys.platform == "darwin"
