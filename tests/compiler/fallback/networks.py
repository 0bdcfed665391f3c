"""Small networks as fallbacks, and their graphs to tamper with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voxc.compiler.core.axis import Sizes
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.fallback.network import Fallback
from voxc.compiler.fallback.write import write_fallback
from voxc.passes.source.hoist_noise import HoistNoise

FRAMES = 6
CHANNELS = 4
# Of full scale. A fallback calls the kernels that eager PyTorch calls, on tensors that may lie differently in memory;
# on some CPUs they then add up in another order. A float32 below 1 has steps of 6e-8.
ROUNDING = 1e-6


def assert_as_eager(output: Array, expected: Array) -> None:
    """That a fallback gives what eager PyTorch does, but for the order of sums."""
    np.testing.assert_allclose(output, expected, rtol=0, atol=ROUNDING)


class Small(nn.Module):
    """x [1, 4, T] -> y [1, 4, 2 T]: a convolution used twice, a mask of -inf, a draw."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)
        self.second = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(x))) + torch.randn_like(x)
        mask = torch.arange(y.shape[-1]) < 2
        y = torch.softmax(y.masked_fill(mask, -float("inf")), dim=-1)
        halves = y.split(2, dim=1)
        return torch.cat([halves[1], halves[0]], dim=1).repeat_interleave(2, dim=-1)


def component(module: nn.Module | None = None) -> Component:
    torch.manual_seed(0)

    def spec(name: str, *shape: int | str) -> TensorSpec:
        return TensorSpec(name=name, shape=shape, dtype="float32", unit="", meaning="")

    def inputs(sizes: Sizes, seed: int = 0) -> dict[str, Array]:
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.randn(1, CHANNELS, sizes["T"], generator=generator).numpy() for name in ("x", "noise")}

    return Component(
        "small",
        (module or Small()).eval(),
        inputs=(spec("x", 1, CHANNELS, "T"),),
        noise=(spec("noise", 1, CHANNELS, "T"),),
        outputs=(spec("y", 1, CHANNELS, "2*T"),),
        reference_inputs=inputs,
    )


def program(target: Target, made: Component | None = None, *, dynamic: bool = False) -> Program:
    """A component's program with its noise outside."""
    return HoistNoise()(export(made or component(), {"T": FRAMES}, dynamic), target).program


def read(file: Path, exported: Program) -> Fallback:
    return Fallback.read(file, exported.inputs, exported.outputs, threads=1)


def tampered(target: Target, directory: Path, change: Callable[[dict[str, Any]], None]) -> tuple[Path, Program]:
    """A fallback whose graph somebody has changed, and what it was written from."""
    exported = program(target)
    graph, _ = write_fallback(exported, directory)
    document = json.loads(graph.read_text())
    change(document)
    graph.write_text(json.dumps(document))
    return graph, exported
