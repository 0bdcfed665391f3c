"""MLX on Apple Silicon: a function with its weights, and the same as Python source."""

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


class MlxBackend(Backend):
    name: ClassVar[str] = "mlx"
    emit_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("mlx", "pip install 'voxc[mlx]'"),)
    run_needs: ClassVar[tuple[Requirement, ...]] = emit_needs
    device_modules: ClassVar[tuple[str, ...]] = ("voxc.compiler.device.agent.runtimes.mlx",)

    def lowerings(self) -> Lowerings:
        self.require(self.emit_needs, "emit MLX functions")
        from voxc.backends.mlx.ops import LOWERINGS

        return LOWERINGS

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        from voxc.backends.mlx import emitter, reader

        files = emitter.emit(program, directory / program.name)
        return Artifact("mlx", files, reader.count_operators(files[0]), f"MLX {self.emit_needs[0].version}")

    def load(self, file: Path, threads: int) -> Runner:
        """MLX has no say in how many threads it takes: one for each operation at a time."""
        self.require(self.run_needs, "run MLX functions")
        from voxc.backends.mlx.runner import MlxRunner

        return MlxRunner(file)
