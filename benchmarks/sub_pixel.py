"""Upsampling by transposed and by sub-pixel convolutions: a full-size RVC v2 40k voice on TensorFlow Lite, in turn.

Compiles the voice in float32 and in int8, with the target's `sub_pixel` and without, and times the four artifacts and
PyTorch eager on the same inputs and threads. Prints medians, ratios to eager and the SNR to it.

    python benchmarks/sub_pixel.py [--voice voice.pth] [--runs 10] [--threads 2] [--frames 200]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from full_size import write_voice

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.measure.latency import interleave
from voxc.compiler.request import Request
from voxc.compiler.runtime.component import load_component

FORMS = (("tflite-float32", PrecisionRecipe(policy="fp32")), ("tflite-int8", PrecisionRecipe(policy="int8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, help="a checkpoint of full size (default: random weights)")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    runs: dict[str, Callable[[], object]] = {}
    snr: dict[str, float | None] = {"eager": None}
    with tempfile.TemporaryDirectory() as folder:
        voice = options.voice or write_voice(Path(folder) / "voice.pth")
        (component,) = load_voice(VoiceFiles(voice)).components
        inputs = component.reference_inputs({"T": options.frames})
        arguments = [torch.from_numpy(inputs[spec.name]) for spec in component.inputs]

        def eager() -> object:
            with torch.inference_mode():
                return component.module(*arguments)

        runs["eager"] = eager
        for name, precision in FORMS:
            target = load_targets()[name]
            for form, sub_pixel in (("transposed", None), ("sub-pixel", target.sub_pixel)):
                changed = target.model_copy(update={"sub_pixel": sub_pixel})
                request = Request(
                    voice, (changed,), Path(folder) / f"{name}-{form}", frames=options.frames, precision=precision,
                    threads=options.threads,
                )  # fmt: skip
                ((place, manifest),) = compile_model(request)
                label = f"{name} {form}"
                snr[label] = manifest.measurements.components["synthesizer"].figures["snr"].value
                runs[label] = run_of(place, options.threads, inputs)
        with torch_threads(options.threads):
            taken = interleave(runs, options.runs, float("inf"))
    for label, latency in taken.items():
        told = "" if snr[label] is None else f"{snr[label]:8.1f} dB"
        print(f"{label:28}{latency.median * 1e3:9.1f} ms{taken['eager'].median / latency.median:8.2f} x{told}")


def run_of(place: Path, threads: int, inputs: Mapping[str, Array]) -> Callable[[], object]:
    runner = load_component(Bundle.open(place), "synthesizer", threads)
    return lambda: runner.run(inputs)


if __name__ == "__main__":
    main()
