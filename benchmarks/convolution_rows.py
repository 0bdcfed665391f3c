"""Why `fold_time_into_rows`: the residual stages of a full-size RVC v2 40k generator in ONNX Runtime, cut into rows.

Times each stage one-dimensional and folded into 1, 2, 4 and 8 rows, in turn after warm-up, and prints medians and the
ratio to one-dimensional. The folding is the pass itself.

    python benchmarks/convolution_rows.py [--threads 2] [--runs 10] [--frames 200]
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from voxc.backends import find_backend
from voxc.compiler.core.component import Component
from voxc.compiler.core.machine import cpu_name, usable_cores
from voxc.compiler.core.program import export
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import TensorSpec
from voxc.compiler.families.rvc.generator import ResBlock1
from voxc.compiler.measure.latency import interleave
from voxc.passes.layout.fold_time_into_rows import FoldTimeIntoRows, Stage
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm

STAGES = ((256, 10), (128, 100), (64, 200), (32, 400))  # channels, samples a frame
ROWS = (None, 1, 2, 4, 8)


class FixedRows(FoldTimeIntoRows):
    """The pass with a number of rows that is given instead of chosen."""

    def choose_rows(self, stage: Stage, work_items: int) -> int:
        return work_items


class ResidualStage(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock1(channels, kernel, (1, 3, 5)) for kernel in (3, 7, 11))

    def forward(self, x: Tensor) -> Tensor:
        outputs = [block(x) for block in self.blocks]
        return sum(outputs[1:], outputs[0]) / 3


def stage_component(channels: int, length: int) -> Component:
    spec = TensorSpec(name="x", shape=(1, channels, length), dtype="float32", unit="1", meaning="features")
    torch.manual_seed(0)
    features = np.random.default_rng(0).standard_normal((1, channels, length), dtype=np.float32)
    output = spec.model_copy(update={"name": "y"})
    module = ResidualStage(channels).eval()
    return Component("stage", module, (spec,), (), (output,), lambda sizes, seed=0: {"x": features})


def emit(component: Component, target: Target, rows: int | None, folder: Path, threads: int) -> Runner:
    cut = target.model_copy(update={"work_items": rows})
    program = export(component, {"T": 1}, dynamic=False)
    for compiler_pass in (FoldWeightNorm(), FixedRows()):
        program = compiler_pass(program, cut).program
    folder.mkdir()
    backend = find_backend(target.backend)
    return backend.load(backend.emit(program, cut, folder).files[0], threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    target = load_targets()["onnxruntime-cpu"]
    names = ["1-D" if rows is None else f"{rows} row{'s' * (rows > 1)}" for rows in ROWS]
    print(f"{cpu_name()}, {options.threads} threads; median ms (ratio to 1-D)")
    print(f"{'channels x samples':20}" + "".join(f"{name:>16}" for name in names))
    for channels, rate in STAGES:
        component = stage_component(channels, rate * options.frames)
        inputs = component.reference_inputs({"T": options.frames})
        with tempfile.TemporaryDirectory() as folder:
            runners = [emit(component, target, rows, Path(folder) / str(rows), options.threads) for rows in ROWS]
            contenders = {name: partial(runner.run, inputs) for name, runner in zip(names, runners, strict=True)}
            taken = interleave(contenders, most_runs=options.runs, most_seconds=float("inf"))
        told = [f"{taken[name].median * 1e3:8.1f} ({taken['1-D'].median / taken[name].median:.2f})" for name in names]
        print(f"{f'{channels} x {rate * options.frames}':20}" + "".join(f"{cell:>16}" for cell in told), flush=True)


if __name__ == "__main__":
    main()
