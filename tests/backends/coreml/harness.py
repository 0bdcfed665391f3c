"""Emits small networks, and compares what voxc's interpreter makes of the packages with what PyTorch makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, Function, Shape, component_of
from voxc.backends.coreml import emitter
from voxc.backends.coreml.interpreter import Interpreter
from voxc.backends.coreml.package import read_program
from voxc.backends.coreml.reader import count_operators
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.component import Component
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target, load_targets
from voxc.passes.simplify.clean_up import CleanUp

voxc = torch.ops.voxc
#: Drops assertions, and folds no weights.
KEEP = CleanUp(most_folded_bytes=0)
GPU = load_targets()["apple-gpu"]
FULL = PrecisionPlan()
HALF = PrecisionPlan(default="fp16")


def gpu(deployment: str = "iOS17") -> Target:
    """A target that keeps the graph's own layout."""
    return GPU.model_copy(update={"deployment": deployment})


def component_for(module: nn.Module | Callable[..., Tensor], *shapes: Shape, output: Shape | None = None) -> Component:
    """`output` is the shape of what it gives, for more lengths than one."""
    component = component_of(Function(module), *shapes)
    (spec,) = component.outputs
    return component if output is None else replace(component, outputs=(spec.model_copy(update={"shape": output}),))


def program_for(component: Component, plan: PrecisionPlan = FULL, frames: int = FRAMES) -> Program:
    return replace(KEEP(export(component, {"T": frames}, dynamic=False), gpu()).program, plan=plan)


def emit(folder: Path, program: Program, deployment: str = "iOS17") -> Path:
    """The package of a program."""
    package = folder / f"{program.name}.mlpackage"
    emitter.emit(program, gpu(deployment), package)
    return package


def error_of(program: Program, package: Path, inputs: Mapping[str, np.ndarray]) -> float:
    """The largest difference between a package and the exported program, shapes and types checked."""
    expected = program.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"].numpy()
    found = Interpreter(package, 1).run(inputs)["y"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    return float(np.abs(found.astype(np.float64) - expected).max()) if found.size else 0.0


def check(
    folder: Path, module: nn.Module | Callable[..., Tensor], *shapes: Shape, plan: PrecisionPlan = FULL,
    tolerance: float = 1e-5, deployment: str = "iOS17",
) -> dict[str, dict[str, int]]:  # fmt: skip
    """Emits a network, compares it with the exported program, and counts the package's operators."""
    component = component_for(module, *shapes)
    program = program_for(component, plan)
    package = emit(folder, program, deployment)
    error = error_of(program, package, component.reference_inputs({"T": FRAMES}))
    assert error <= tolerance, f"off by {error:.3g}"
    return {name: dict(counts) for name, counts in count_operators(read_program(package)).items()}
