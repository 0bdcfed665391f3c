"""Whether roofline estimates rank variants as they are measured: voices of several sizes, rates and segment lengths.

The machine's peaks are measured first: products of large matrices, copies of large arrays, and many tiny operators in a
row. Then every variant is estimated from its graph, and run in ONNX Runtime, all in turn. Prints medians beside
estimates, and Spearman's rank correlation; for comparison also that of multiply-accumulates, weights and segment alone.

    python benchmarks/estimate_ranking.py [--threads 1] [--runs 10] [--demo demo/voice]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from full_size import CONFIGS, write_voice
from scipy.stats import spearmanr
from torch import Tensor, nn

from voxc.backends import find_backend
from voxc.compiler.core.component import Component
from voxc.compiler.core.cost import costs
from voxc.compiler.core.machine import cpu_name, tool_versions
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Peaks, load_targets
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.families.rvc.files import VoiceFiles, find_voice
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.measure.estimate import Estimate, estimate
from voxc.compiler.measure.latency import interleave
from voxc.passes.pipeline import pipeline

TARGET = load_targets()["onnxruntime-cpu"]
#: Voices as (config, channels after the first convolution, layers of attention), and the frames of their segments.
VOICES = {
    ("v2_40k", 512, 6): (50, 100),
    ("v2_32k", 512, 6): (50,),
    ("v2_48k", 256, 6): (50, 100),
    ("v2_40k", 256, 6): (50, 200),
    ("v2_32k", 128, 12): (100, 400),
    ("v2_48k", 128, 6): (100, 400),
    ("v2_40k", 64, 2): (100, 400),
}
CHANNELS, LAYERS = 13, 6  # where a config has them
DEMO_FRAMES = 200
MATRIX, COPIED, TINY_OPERATORS = 1024, 1 << 25, 400


@dataclass(frozen=True)
class Variant:
    """One component at one segment length, ready to run; `weights` in bytes."""

    name: str
    frames: int
    estimate: Estimate
    weights: int
    runner: Runner
    inputs: Mapping[str, Array]


class Chain(nn.Module):
    """Operators with next to nothing to do, none of which can be left out."""

    def forward(self, x: Tensor) -> Tensor:
        for step in range(TINY_OPERATORS // 2):
            x = torch.tanh(x + float(step))
        return x


def best(run: Callable[[], object], runs: int = 20) -> float:
    """Seconds of the fastest run: of a peak, not of what is usual."""
    run()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)


def measured_peaks(threads: int) -> Peaks:
    """What this machine does at most with a number of threads."""
    with torch_threads(threads):
        left, right = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
        products = 2 * MATRIX**3 / best(lambda: left @ right) / 1e9
        source, place = torch.randn(COPIED // 4), torch.empty(COPIED // 4)
        bandwidth = 2 * COPIED / best(lambda: place.copy_(source)) / 1e9
    spec = TensorSpec(name="x", shape=(1, 8), dtype="float32", unit="1", meaning="test")
    inputs = {"x": np.zeros((1, 8), np.float32)}
    result = spec.model_copy(update={"name": "y"})
    component = Component("chain", Chain(), (spec,), (), (result,), lambda sizes, seed=0: inputs)
    runner = load(export(component, {"T": 1}, dynamic=False), threads)
    launch = best(lambda: runner.run(inputs)) / TINY_OPERATORS * 1e6
    rates = {"float32": round(products, 1)}
    how = f"measured on {cpu_name()}, {threads} threads"
    return Peaks.model_validate(
        {"rates": rates, "bandwidth": round(bandwidth, 1), "launch": round(launch, 2), "source": how}
    )


def load(program: Program, threads: int) -> Runner:
    backend = find_backend(TARGET.backend)
    with tempfile.TemporaryDirectory() as folder:
        return backend.load(backend.emit(program, TARGET, Path(folder)).files[0], threads)


def variants(folder: Path, demo: Path | None, peaks: Peaks, threads: int) -> Iterator[Variant]:
    for (config, channels, layers), lengths in VOICES.items():
        name = f"{channels}-{layers}_{config.rpartition('_')[2]}"
        CONFIGS[name] = list(CONFIGS[config])
        CONFIGS[name][CHANNELS], CONFIGS[name][LAYERS] = channels, layers
        voice = load_voice(VoiceFiles(write_voice(folder / f"{name}.pth", name)))
        (component,) = voice.components
        for frames in lengths:
            yield variant(f"{config} {channels}/{layers}", component, frames, peaks, threads)
    if demo is not None:
        voice = load_voice(find_voice(demo, None, None))
        for component in voice.components:
            yield variant(
                f"demo {component.name}", component, voice.sizes_of(component, DEMO_FRAMES)["T"], peaks, threads
            )


def variant(name: str, component: Component, frames: int, peaks: Peaks, threads: int) -> Variant:
    program = export(component, {"T": frames}, dynamic=False)
    for compiler_pass in pipeline(TARGET):
        program = compiler_pass(program, TARGET).program
    weights = [program.weight(node) for node in program.graph.nodes if node.op == "placeholder"]
    size = sum(tensor.nbytes for tensor in weights if tensor is not None)
    print(f"prepared {name}, {frames} frames", flush=True)
    return Variant(
        name, frames, estimate(costs(program, TARGET), peaks), size, load(program, threads),
        component.reference_inputs({"T": frames}),
    )  # fmt: skip


def report(found: Sequence[Variant], medians: Sequence[float]) -> None:
    print(f"\n{'variant':22}{'frames':>7}{'G MACs':>9}{'MB moved':>10}{'estimate ms':>13}{'median ms':>11}{'ratio':>8}")
    for each, median in sorted(zip(found, medians, strict=True), key=lambda pair: pair[1]):
        macs, guess = sum(each.estimate.macs.values()) / 1e9, each.estimate.seconds
        print(
            f"{each.name:22}{each.frames:7}{macs:9.3f}{each.estimate.bytes / 1e6:10.0f}{guess * 1e3:13.1f}"
            f"{median * 1e3:11.1f}{median / guess:8.2f}"
        )
    predictors: dict[str, list[float]] = {
        "estimate": [each.estimate.seconds for each in found],
        "MACs alone": [float(sum(each.estimate.macs.values())) for each in found],
        "bytes of weights": [float(each.weights) for each in found],
        "frames": [float(each.frames) for each in found],
    }
    print(f"\nSpearman's rank correlation with the measured medians, {len(found)} variants")
    for name, values in predictors.items():
        print(f"{name:22}{spearmanr(values, medians).statistic:8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--demo", type=Path, help="a voice directory whose components are variants too")
    options = parser.parse_args()

    peaks = measured_peaks(options.threads)
    print(f"{cpu_name()}, {options.threads} threads, onnxruntime {tool_versions(['onnxruntime'])['onnxruntime']}")
    print(f"peaks: {peaks.rates['float32']:g} G operations/s, {peaks.bandwidth:g} GB/s, {peaks.launch:g} us to launch")
    with tempfile.TemporaryDirectory() as folder:
        found = list(variants(Path(folder), options.demo, peaks, options.threads))
    runs = {
        str(number): lambda each=each: each.runner.run(each.inputs)  # type: ignore[misc]
        for number, each in enumerate(found)
    }
    taken = interleave(runs, most_runs=options.runs, most_seconds=float("inf"))
    report(found, [taken[str(number)].median for number in range(len(found))])


if __name__ == "__main__":
    main()
