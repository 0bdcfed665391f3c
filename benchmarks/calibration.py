"""Calibration of a full-size voice: seconds to find the ranges of all that int8 needs, with each observer in turn.

Every value of every observed tensor is counted; nothing is sampled. `run alone` is the same program on the same
samples with nobody watching. Of a voice with a content encoder (a directory), the time to collect samples from the
recording is told as well.

    python benchmarks/calibration.py [--voice voice.pth|DIRECTORY] [--target tflite-int8] [--segments 8] [--frames 200]
        [--observer mse]... [--audio recording.wav]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from full_size import write_voice

from voxc.compiler.calibration.observers import OBSERVERS
from voxc.compiler.calibration.ranges import calibrate, integer_tensors
from voxc.compiler.calibration.recordings import collect_samples
from voxc.compiler.calibration.source import representative_samples
from voxc.compiler.core.component import Component
from voxc.compiler.core.machine import cpu_name, peak_memory_mib, usable_cores
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.model import Model
from voxc.compiler.families.rvc.files import demo_sample, find_voice
from voxc.compiler.families.rvc.voice import load_voice
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision


def prepare(component: Component, frames: int, target: Target) -> Program:
    """The program of a component when it gets its ranges: after the target's passes, planned for int8."""
    program = export(component, {"T": frames}, dynamic=False)
    for compiler_pass in (*pipeline(target), AnnotatePrecision("int8")):
        program = compiler_pass(program, target).program
    return program


def time_component(program: Program, samples: list[dict[str, Array]], observers: list[str]) -> None:
    names = integer_tensors(program)
    shapes = {node.name: node.meta["val"].shape for node in program.graph.nodes if node.name in set(names)}
    values = sum(shape.numel() for shape in shapes.values())
    print(f"\n{program.name}: {len(names)} tensors, {values / 1e6:.0f} million values a sample, {len(samples)} samples")
    tensors = [{name: torch.from_numpy(array) for name, array in sample.items()} for sample in samples]
    program.run(tensors[0])  # warm-up
    started = time.perf_counter()
    for sample in tensors:
        program.run(sample)
    alone = time.perf_counter() - started
    print(f"{'run alone':12}{alone:8.1f} s")
    for observer in observers:
        started = time.perf_counter()
        calibrate(program, samples, observer)  # type: ignore[arg-type]
        print(f"{observer:12}{time.perf_counter() - started:8.1f} s")


def collected(voice: Model, options: argparse.Namespace) -> dict[str, list[dict[str, Array]]]:
    if all(component.name != "content" for component in voice.components):
        samples = representative_samples(voice, options.frames)
    else:
        started = time.perf_counter()
        samples = collect_samples(voice, options.frames, options.audio, segments=options.segments)
        print(f"collecting samples: {time.perf_counter() - started:.1f} s, {samples.source}")
    return {name: [dict(call) for call in calls[: options.segments]] for name, calls in samples.calls.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path)
    parser.add_argument("--target", default="tflite-int8")
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--observer", action="append", choices=[*OBSERVERS])
    parser.add_argument("--audio", type=Path, default=demo_sample())
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    target = load_targets()[options.target]
    with tempfile.TemporaryDirectory() as folder:
        voice = load_voice(find_voice(options.voice or write_voice(Path(folder) / "v2_40k.pth")))
    print(f"{cpu_name()}, {options.threads} threads, torch {torch.__version__}")
    print(f"{options.target}, segments of {options.frames / voice.frame_rate:g} s")
    calls = collected(voice, options)
    for component in voice.components:
        program = prepare(component, voice.sizes_of(component, options.frames)["T"], target)
        time_component(program, calls[component.name], options.observer or [*OBSERVERS])
    print(f"\npeak memory {peak_memory_mib():.0f} MiB")


if __name__ == "__main__":
    main()
