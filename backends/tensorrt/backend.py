"""TensorRT: kits for boards and machines that build their own engines, and engines where TensorRT and a GPU are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from voxc.backends.base import Backend
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.runner import (
    ONNX,
    ONNXSIM,
    TORCH,
    Artifact,
    Fit,
    Placement,
    Rehearsal,
    Requirement,
    Runner,
    Runtime,
)

if TYPE_CHECKING:
    from torch import fx

    from voxc.backends.lowering.table import Lowerings
    from voxc.backends.onnx.dialect import Dialect
    from voxc.backends.tensorrt.legality import Reading
    from voxc.backends.tensorrt.table import Table, Version
    from voxc.compiler.core.program import Program
    from voxc.compiler.core.target import Target
    from voxc.compiler.manifest import TargetRecord

#: What a target without a version is for where no TensorRT is installed.
ANY = "any TensorRT from 8.2 on"


class TensorRTBackend(Backend):
    """The ONNX file of a component is what TensorRT's parser reads; beside it lies what layers are to compute in."""

    name: ClassVar[str] = "tensorrt"
    kit: ClassVar[bool] = True
    emit_needs: ClassVar[tuple[Requirement, ...]] = (ONNX, ONNXSIM)
    run_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("onnxruntime", "pip install voxc"),)
    device_modules: ClassVar[tuple[str, ...]] = (
        "voxc.compiler.device.agent.runtimes.tensorrt",
        "voxc.backends.tensorrt.device",
    )

    def lowerings(self) -> Lowerings:
        from voxc.backends.onnx.ops import LOWERINGS

        return LOWERINGS

    def check(self, program: Program, target: Target) -> None:
        """That every call has a lowering; what it becomes is proved on the file, in `emit`."""
        nodes = self.unsupported(program)
        if nodes:
            raise refusal(target, nodes[0], str(nodes[0].target), "no rewrite covers it", "")
        if program.plan.implicit and scales_version(target) is None:
            raise UnsupportedError(
                f"{target.name}: --implicit needs a calibration cache, which is for one version of TensorRT, and none "
                f"is installed here; name a target that says which (jetson-orin-nano-jp6), or leave out --implicit"
            )

    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        """Raises UnsupportedError for the first node of the file that the target's parser would refuse."""
        from voxc.backends.onnx import emitter, reader
        from voxc.backends.tensorrt import packed, precisions, table

        assert target.opset is not None, "targets of this backend have an opset"
        tables = table.tables_for(version_of(target))
        path = directory / f"{program.name}.onnx"
        emitted = emitter.write(program, target.opset, path, dialect_for(target, tables))
        weights = packed.pack(path, emitted.packed)
        reading = prove(target, emitted.files[0], tables, emitted.origins)
        recipe = precisions.precisions_of(
            program.name, target.tensorrt, program.plan, reading, emitted.origins, precisions.profiles_of(program)
        )
        recipe_file = precisions.precisions_file(path)
        recipe.write(recipe_file)
        files = (*emitted.files, *weights, recipe_file)
        version = scales_version(target)
        if version is not None and program.plan.ranges:
            from voxc.backends.tensorrt import calibration_cache

            dialect = dialect_for(target, tables)
            scales = calibration_cache.scales_of_plan(program, target.opset, dialect, reading.kinds)
            cache = calibration_cache.CalibrationCache(version, scales)
            files = (*files, calibration_cache.write_cache(calibration_cache.cache_file(path), cache))
        if has_tensorrt() and target.tensorrt is None:
            from voxc.backends.tensorrt import engine

            files = (*files, *engine.write(path))
        return Artifact(
            "onnx",
            files,
            reader.count_operators(path, {name: recipe.told(name) for name in recipe.layers}),
            told_version(target) if target.tensorrt else "TensorRT 8.2",
        )

    def load(self, file: Path, threads: int) -> Runner:
        """An engine where TensorRT and a GPU are, else ONNX Runtime on the same file."""
        if has_tensorrt():
            from voxc.backends.tensorrt.engine import EngineRunner

            return EngineRunner.of(file)
        self.require(self.run_needs, "evaluate kits for TensorRT")
        from voxc.backends.onnx.runner import OnnxRuntimeRunner
        from voxc.backends.tensorrt.packed import packed_file, whole

        if packed_file(file).exists():
            self.require((ONNX,), "unpack the weights of kits")
        with whole(file) as whole_file:
            return OnnxRuntimeRunner(whole_file, threads, exact=True)  # as the GPU's integers are

    def rehearse(self, file: Path, threads: int) -> Rehearsal | None:
        if has_tensorrt():
            return None
        from voxc.backends.tensorrt.packed import whole
        from voxc.backends.tensorrt.precisions import precisions_file, read_precisions
        from voxc.backends.tensorrt.rounding import HOW, IMPLICIT_HOW, rounding_runner

        recipe = read_precisions(precisions_file(file))
        if "fp16" not in recipe.layers.values() and not recipe.implicit:
            return None
        how = IMPLICIT_HOW if recipe.implicit else HOW
        with whole(file) as whole_file:
            runner = rounding_runner(whole_file, recipe, threads)
        return Rehearsal(runner, Runtime(f"ONNX Runtime {self.run_needs[0].version} ({how})", "estimate"))

    def runtime(self) -> Runtime:
        if has_tensorrt():
            import torch

            return Runtime(f"TensorRT {installed_version()} on {torch.cuda.get_device_name()}", "host")
        told = (
            f"ONNX Runtime {self.run_needs[0].version} (the kit's own files: float32, and int8 only where it is in the "
            f"graph)"
        )
        return Runtime(told, "reference")

    def fit(self, programs: Sequence[Program], target: Target, frames: int, step: int) -> Fit | None:
        from voxc.backends.tensorrt.budget import budget_of

        budget = budget_of(programs, target, frames)
        return None if budget is None else budget.fit(step)

    def explain(self, file: Path, target: TargetRecord) -> tuple[Placement, ...]:
        """What each operator is to compute in."""
        from voxc.backends.tensorrt.placement import placements

        return placements(file)


def has_tensorrt() -> bool:
    """Whether engines can be built and run here."""
    if installed_version() is None or TORCH.version is None:
        return False
    import torch

    return torch.cuda.is_available()


def installed_version() -> str | None:
    try:
        return metadata.version("tensorrt")
    except metadata.PackageNotFoundError:
        return None


def version_of(target: Target) -> Version | None:
    """The version that a target is for; of one that names none, that which is installed."""
    from voxc.backends.tensorrt.table import parse_version

    text = target.tensorrt or installed_version()
    return None if text is None else parse_version(".".join(text.split(".")[:3]))


def scales_version(target: Target) -> str | None:
    """The version that scales are written for: that of the target, else that which is installed."""
    text = target.tensorrt or installed_version()
    return None if text is None else ".".join(text.split(".")[:3])


def dialect_for(target: Target, tables: Sequence[Table]) -> Dialect:
    """What the tables have in common; what the target emulates is weights that it reads as floats."""
    from voxc.backends.tensorrt.table import common_dialect

    return replace(common_dialect(tuple(tables)), packed_weights="w8" in target.emulated.values())


def told_version(target: Target) -> str:
    text = target.tensorrt or installed_version()
    return f"TensorRT {text}" if text else ANY


def prove(target: Target, file: Path, tables: Sequence[Table], origins: Mapping[str, fx.Node]) -> Reading:
    """That every table takes every node of a file.

    Raises:
        UnsupportedError: one does not; names the first such node, where it came from, and what to do.
    """
    import onnx

    from voxc.backends.tensorrt.legality import Reading, complaints

    reading = Reading(onnx.load(file, load_external_data=False))
    for table in tables:
        for complaint in complaints(reading, table):
            reason = complaint.reason
            if target.tensorrt is None and len(tables) > 1:
                reason += f", in version {'.'.join(map(str, table.version))}"
            raise refusal(target, origins.get(complaint.node), complaint.op or complaint.node, reason, complaint.remedy)
    return reading


def refusal(target: Target, node: fx.Node | None, op: str, reason: str, remedy: str) -> UnsupportedError:
    """What a target's parser does not take: the operator, where in the user's model, and what to do."""
    from voxc.backends.lowering.source import operator_name, source_line
    from voxc.compiler.core.nodes import module_path

    told = op
    if node is not None:
        call, path, line = operator_name(node), module_path(node), source_line(node)
        told += f" (of {call})" if call != op else ""
        told += f" in {path}" if path else f" at {node.name}"
        told += f" ({line})" if line else ""
    way = remedy or "write the module with other operators, or add a pass that rewrites it"
    return UnsupportedError(f"{target.name}: {told_version(target)} does not take {told}: {reason}; {way}")
