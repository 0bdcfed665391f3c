"""Emits small networks, and compares what MLX makes of them with what PyTorch does: by the exported function, and by
the generated Python."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

mx = pytest.importorskip("mlx.core", reason="MLX is not installed")

from tests.passes.harness import FRAMES, Function, Shape, component_of  # noqa: E402
from voxc.backends.mlx import emitter  # noqa: E402
from voxc.backends.mlx.python_source import class_name  # noqa: E402
from voxc.backends.mlx.reader import count_operators  # noqa: E402
from voxc.backends.mlx.runner import MlxRunner  # noqa: E402
from voxc.compiler.core.plan import Precision, PrecisionPlan  # noqa: E402
from voxc.compiler.core.program import Program, export  # noqa: E402
from voxc.compiler.core.target import Target, load_targets  # noqa: E402
from voxc.passes.pipeline import pipeline  # noqa: E402
from voxc.passes.simplify.clean_up import CleanUp  # noqa: E402

#: Drops assertions, and folds no weights.
KEEP = CleanUp(most_folded_bytes=0)


def mlx_target() -> Target:
    return load_targets()["apple-mlx"]


def lowered(component: Any, frames: int = FRAMES, plan: PrecisionPlan | None = None) -> Program:
    """A component as the passes leave it for MLX."""
    program = export(component, {"T": frames}, dynamic=False)
    for compiler_pass in pipeline(mlx_target()):
        program = compiler_pass(program, mlx_target()).program
    return replace(program, plan=plan or PrecisionPlan())


def run_source(folder: Path, name: str, inputs: Mapping[str, np.ndarray], outputs: list[str]) -> dict[str, np.ndarray]:
    """What the generated class gives."""
    specification = importlib.util.spec_from_file_location("generated", folder / emitter.SOURCE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    network = getattr(module, class_name(name))(str(folder / emitter.WEIGHTS))
    given = network(**{key: mx.array(array) for key, array in inputs.items()})
    return {key: np.array(array) for key, array in zip(outputs, [given] if len(outputs) == 1 else given, strict=True)}


def check(
    folder: Path, module: nn.Module | Callable[..., Tensor], *shapes: Shape, tolerance: float = 1e-5,
    precision: Precision = "fp32", seed: int = 0,
) -> dict[str, dict[str, int]]:  # fmt: skip
    """Emits a network in one precision, compares it with the exported program, and counts the function's operations."""
    network = module if isinstance(module, nn.Module) else Function(module)
    component = component_of(network, *shapes)
    program = KEEP(export(component, {"T": FRAMES}, dynamic=False), mlx_target()).program
    program = replace(program, plan=PrecisionPlan(default=precision))
    files = emitter.emit(program, folder / "test")
    inputs = component.reference_inputs({"T": FRAMES}, seed)
    expected = program.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"].numpy()
    found = MlxRunner(files[0]).run(inputs)["y"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    error = np.abs(found.astype(np.float64) - expected).max(initial=0)
    assert error <= tolerance, f"off by {error:.3g}, of at most {np.abs(expected).max():.3g}"
    np.testing.assert_array_equal(run_source(folder / "test", "test", inputs, ["y"])["y"], found)
    return {name: dict(counts) for name, counts in count_operators(files[0]).items()}
