"""Emits small networks, and compares what TFLite makes of them with what PyTorch does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, Function, Shape, component_of
from voxc.backends.tflite import emitter
from voxc.backends.tflite.reader import count_operators
from voxc.backends.tflite.runner import TfliteRunner
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.program import export
from voxc.compiler.core.target import load_targets
from voxc.passes.simplify.clean_up import CleanUp

voxc = torch.ops.voxc
#: Drops assertions, and folds no weights.
KEEP = CleanUp(most_folded_bytes=0)


def integers(x: Tensor, scale: float = 0.05, zero_point: int = -3) -> Tensor:
    """x through int8."""
    return voxc.dequantize(voxc.quantize(x, scale, zero_point, torch.int8), scale, zero_point)


def check(
    folder: Path, module: nn.Module | Callable[..., Tensor], *shapes: Shape, tolerance: float = 1e-5
) -> dict[str, dict[str, int]]:
    """Emits a network, compares it with the exported program, and counts the file's operators."""
    network = module if isinstance(module, nn.Module) else Function(module)
    component = component_of(network, *shapes)
    program = KEEP(export(component, {"T": FRAMES}, dynamic=False), load_targets()["tflite-int8"]).program
    file = folder / "test.tflite"
    emitter.emit(program, file)
    inputs = component.reference_inputs({"T": FRAMES})
    expected = program.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"].numpy()
    found = TfliteRunner(file, 1).run(inputs)["y"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    error = np.abs(found.astype(np.float64) - expected).max()
    assert error <= tolerance, f"off by {error:.3g}, of at most {np.abs(expected).max():.3g}"
    return {name: dict(counts) for name, counts in count_operators(file).items()}
