"""OpenVINO: intermediate representations of what voxc emits as ONNX."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from voxc.backends.base import Backend, BackendOptions
from voxc.compiler.core.runner import ONNX, Artifact, Requirement, Runner, Runtime
from voxc.compiler.core.target import Target

if TYPE_CHECKING:
    from voxc.backends.lowering.table import Lowerings
    from voxc.compiler.core.program import Program

Precision = Literal["f32", "bf16"]


class OpenVinoOptions(BackendOptions):
    """`inference_precision` is what the runtime may compute floats in."""

    inference_precision: Precision = "f32"


@dataclass(frozen=True)
class OpenVinoBackend(Backend):
    inference_precision: Precision = "f32"

    name: ClassVar[str] = "openvino"
    emit_needs: ClassVar[tuple[Requirement, ...]] = (
        ONNX,
        Requirement("openvino", "pip install voxc-openvino"),
    )
    run_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("openvino", "pip install voxc-openvino"),)
    targets_file: ClassVar[Path | None] = Path(__file__).with_name("targets.yaml")
    Options: ClassVar[type[BackendOptions]] = OpenVinoOptions

    def configured(self, options: OpenVinoOptions) -> OpenVinoBackend:
        return replace(self, inference_precision=options.inference_precision)

    def lowerings(self) -> Lowerings:
        from voxc.backends.onnx.ops import LOWERINGS

        return LOWERINGS

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        from voxc.backends.onnx import emitter, reader
        from voxc_openvino.sdk import openvino

        assert target.opset is not None, "targets of this backend have an opset"
        file = directory / f"{program.name}.xml"
        with tempfile.TemporaryDirectory(prefix="voxc-") as place:
            graph, *_ = emitter.emit(program, target.opset, Path(place) / f"{program.name}.onnx")
            operators = reader.count_operators(graph)
            model = openvino.Core().read_model(str(graph))
            # Weights keep the widths that the plan has chosen for them.
            openvino.save_model(model, str(file), compress_to_fp16=False)
        return Artifact("openvino", (file, file.with_suffix(".bin")), operators)

    def load(self, file: Path, threads: int) -> Runner:
        from voxc_openvino.runner import OpenVinoRunner

        return OpenVinoRunner(file, threads, self.inference_precision)

    def runtime(self) -> Runtime:
        runtime = super().runtime()
        return replace(runtime, description=f"{runtime.description} ({self.inference_precision})")
