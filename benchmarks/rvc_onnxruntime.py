"""Full-size RVC v2 40k, 2 s: voxc's artifact, a stock `torch.onnx.export` of the same network, and PyTorch eager.

All in one run, in turn, after warm-up, on the same inputs and threads; prints medians and ratios. The stock export is
what a user gets from `torch.onnx.export(network, inputs, dynamo=True)`, random draws included.

    python benchmarks/rvc_onnxruntime.py [--voice voice.pth] [--threads 2] [--runs 20] [--frames 200] [--dynamic]
"""

from __future__ import annotations

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from full_size import write_voice

from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.component import Component
from voxc.compiler.core.machine import cpu_name, tool_versions, usable_cores
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.measure.latency import interleave
from voxc.compiler.runtime.component import load_component


def stock_export(component: Component, inputs: dict[str, Array], path: Path) -> Path:
    arguments = tuple(torch.from_numpy(inputs[spec.name]) for spec in component.inputs)
    names = [spec.name for spec in component.inputs]
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            component.module, arguments, path, dynamo=True, external_data=False, input_names=names, verbose=False
        )
    logging.disable(logging.NOTSET)
    return path


def cold_compile(voice: Path, place: Path, options: argparse.Namespace) -> tuple[Bundle, float, float]:
    """The bundle of `voxc compile` in a process of its own, its seconds, and its peak memory in MiB."""
    command = ["compile", voice, "--target", "onnxruntime-cpu", "-o", place, "--frames", options.frames]
    command += ["--dynamic"] * options.dynamic
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "voxc.compiler", *map(str, command)], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # bytes there, KiB elsewhere
    return Bundle.open(place), seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--dynamic", action="store_true", help="compile with the segment length left open")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        voice_file = options.voice or write_voice(Path(folder) / "v2_40k.pth")
        bundle, compile_seconds, compile_mib = cold_compile(voice_file, Path(folder) / "bundle", options)

        (component,) = load_voice(VoiceFiles(voice_file)).components
        inputs = component.reference_inputs({"T": options.frames})
        given = {spec.name: inputs[spec.name] for spec in component.inputs}
        stock = OnnxRuntimeRunner(stock_export(component, inputs, Path(folder) / "stock.onnx"), options.threads)
        artifact = load_component(bundle, "synthesizer", options.threads)
        arguments = [torch.from_numpy(given[spec.name]) for spec in component.inputs]

        def eager() -> object:
            with torch.inference_mode():
                return component.module(*arguments)

        contenders: dict[str, Callable[[], object]] = {
            "PyTorch eager": eager,
            "stock torch.onnx.export": lambda: stock.run(given),
            "voxc onnxruntime-cpu": lambda: artifact.run(inputs),
        }
        with torch_threads(options.threads):
            taken = interleave(contenders, most_runs=options.runs, most_seconds=float("inf"))

    versions = tool_versions(["onnxruntime"])
    print(f"{cpu_name()}, {options.threads} threads, torch {versions['torch']}, onnxruntime {versions['onnxruntime']}")
    print(f"{options.frames} frames, {options.runs} runs in turn")
    print(f"cold `voxc compile`: {compile_seconds:.1f} s, peak memory {compile_mib:.0f} MiB")
    snr = bundle.manifest.measurements.components["synthesizer"].figures["snr"]
    print(f"SNR of the artifact to PyTorch eager: {snr.value} dB")
    print(f"\n{'':28}{'median ms':>10}{'min ms':>10}{'to eager':>10}{'to stock':>10}")
    eager_median, stock_median = (taken[name].median for name in ("PyTorch eager", "stock torch.onnx.export"))
    for name, latency in taken.items():
        ratios = f"{eager_median / latency.median:10.2f}{stock_median / latency.median:10.2f}"
        print(f"{name:28}{latency.median * 1e3:10.1f}{latency.least * 1e3:10.1f}{ratios}")


if __name__ == "__main__":
    main()
