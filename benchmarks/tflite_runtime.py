"""Whether TFLite artifacts run on tflite-runtime 2.14, the last of its name, and what they give and take there.

    python benchmarks/tflite_runtime.py [VOICE] [--precision int8] [--component synthesizer] [--seconds 1] [--runs 10]

Makes an environment of its own with that runtime (Python 3.11, NumPy 1), emits a component of a voice (the demo voice
unless another is given), and runs the same file on the same inputs there and in ai-edge-litert, by turns. Prints the
release that the file asks for, the largest difference, and the ratio of the median times.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np

from voxc.backends.tflite.backend import TfliteBackend
from voxc.backends.tflite.reader import runtime_of
from voxc.backends.tflite.runner import TfliteRunner
from voxc.compiler.calibration.ranges import calibrate
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import write_npz
from voxc.compiler.families.rvc.files import find_voice
from voxc.compiler.families.rvc.voice import load_voice
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization

RUNTIME = "tflite-runtime==2.14.0"
TARGETS = {"fp32": "tflite-float32", "fp16": "tflite-fp16"}
# Runs in the old environment, which knows nothing of voxc: a round for each line that it reads.
OLD_SIDE = """
import sys, time
import numpy as np
from tflite_runtime.interpreter import Interpreter
file, inputs, outputs, threads = sys.argv[1:]
interpreter = Interpreter(file, num_threads=int(threads))
interpreter.allocate_tensors()
with np.load(inputs) as arrays:
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], arrays[detail["name"]])
for _ in sys.stdin:
    started = time.perf_counter()
    interpreter.invoke()
    print(time.perf_counter() - started, flush=True)
np.savez(outputs, **{each["name"]: interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("voice", nargs="?", type=Path, default=Path("demo"))
    parser.add_argument("--precision", choices=["fp32", "fp16", "w8", "mixed", "int8"], default="int8")
    parser.add_argument("--component", default="synthesizer")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    voice = load_voice(find_voice(options.voice))
    component = next(each for each in voice.components if each.name == options.component)
    frames = voice.sizes_of(component, round(options.seconds * voice.frame_rate))["T"]
    target = load_targets()[TARGETS.get(options.precision, "tflite-int8")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        program = prepare(component, frames, target, options.precision)
        (file,) = TfliteBackend().emit(program, target, folder).files
        print(f"{component.name}, {options.precision}: {file.stat().st_size / 1e6:.1f} MB, for {runtime_of(file)} on")
        compare(file, component.reference_inputs({"T": frames}), folder, options.runs, options.threads)


def prepare(component: Component, frames: int, target: Target, precision: str) -> Program:
    """The program as the passes leave it; ranges, where integers need them, are those of the reference inputs."""
    program = export(component, {"T": frames}, dynamic=False)
    for compiler_pass in (*pipeline(target), AnnotatePrecision(precision)):  # type: ignore[arg-type]
        program = compiler_pass(program, target).program
    if "int8" in program.plan.nodes.values():
        ranges = calibrate(program, [component.reference_inputs({"T": frames})], "percentile")
        program = replace(program, plan=program.plan.model_copy(update={"ranges": ranges}))
    return InsertQuantization()(program, target).program


def compare(file: Path, inputs: dict[str, np.ndarray], folder: Path, runs: int, threads: int) -> None:
    write_npz(folder / "inputs.npz", inputs)
    runner = TfliteRunner(file, threads)
    command = [str(environment(folder / "old")), "-c", OLD_SIDE, str(file), str(folder / "inputs.npz")]
    old = subprocess.Popen(
        [*command, str(folder / "outputs.npz"), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert old.stdin is not None
    assert old.stdout is not None
    times: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(runs + 1):
        old.stdin.write("\n")
        old.stdin.flush()
        line = old.stdout.readline()
        if not line:
            sys.exit("tflite-runtime did not run the file; what it said is above")
        times["old"].append(float(line))
        started = time.perf_counter()
        found = runner.run(inputs)
        times["new"].append(time.perf_counter() - started)
    old.stdin.close()
    old.wait()
    medians = {name: statistics.median(seconds[1:]) * 1e3 for name, seconds in times.items()}  # the first is warm-up
    with np.load(folder / "outputs.npz") as arrays:
        for name, array in found.items():
            error = np.abs(array - arrays[name]).max()
            print(f"{name}: largest difference {error:.3g}, of at most {np.abs(array).max():.3g}")
    print(f"{RUNTIME}: {medians['old']:.1f} ms, ai-edge-litert: {medians['new']:.1f} ms")
    print(f"ratio: {medians['old'] / medians['new']:.2f}")


def environment(place: Path) -> Path:
    """The Python of a new environment that has the old runtime."""
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", RUNTIME, "numpy<2"], check=True)
    return python


if __name__ == "__main__":
    main()
