"""Full-size RVC v2 40k, 2 s, in integers: voxc's artifacts, the stock recipes of the same runtimes, PyTorch eager.

All in one run, in turn, after warm-up, on the same inputs, noise and threads; prints medians, ratios to eager, the SNR
of each output to eager's, and each file's share of its tool's float32 file. The signal is what there is around its
mean: random weights put a constant below the waveform, which cannot be heard. Stock LiteRT files are made in an
environment of their own (`stock_tflite.py` says why).

    python benchmarks/rvc_int8.py [--voice voice.pth] [--threads 2] [--runs 20] [--seconds 2] [--only PATTERN]
        [--stock-python PYTHON | --make-stock-environment] [--ours TARGET[:PRECISION] ...] [--reuse] [--json FILE]

For a CPU without VNNI, as far as this machine can be one (`older_x86.py`; bundles are compiled as on such a CPU, too):

    LD_PRELOAD=$(python benchmarks/older_x86.py avx2) python benchmarks/rvc_int8.py

With the example of a plug-in installed (`pip install ./examples/plugin`), OpenVINO has rows too.

What is made goes to build/rvc_int8/, by voice and length. Stock files found there are always taken; bundles are
compiled again unless --reuse is given, for the compiler changes and the stock recipes do not.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from full_size import write_voice
from stock_recipes import RECIPES, Run, Stock, StockError, last_line, make_environment

from voxc.backends import BACKENDS
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import VoxcError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.machine import cpu_name, integer_features, tool_versions
from voxc.compiler.core.target import load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.measure.latency import Latency, interleave
from voxc.compiler.runtime.component import load_component

BUILD = Path(__file__).resolve().parents[1] / "build"
EAGER = "PyTorch eager float32"
OURS = ("onnxruntime-cpu:fp32", "onnxruntime-cpu:int8", "onnxruntime-cpu:auto",
        "tflite-float32", "tflite-int8:int8", "tflite-int8:auto")  # fmt: skip
OPENVINO = ("openvino:fp32", "openvino-bf16", "openvino:int8")
COLUMNS = (
    ("median ms", "10.1f", "median"), ("min ms", "9.1f", "least"), ("to eager", "9.2f", "to_eager"),
    ("SNR dB", "8.1f", "snr"), ("MB", "7.1f", "size"),
    ("of float32", "11.0%", "of_float32"),
)  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """Something to time. `size` is in bytes; `tool` is whose float32 file it is compared with."""

    run: Run
    size: int | None = None
    tool: str = ""
    float32: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the table: times in ms, SNR in dB, size in MB; `why` where there are no figures."""

    name: str
    why: str = ""
    median: float | None = None
    least: float | None = None
    to_eager: float | None = None
    snr: float | None = None
    size: float | None = None
    of_float32: float | None = None


def main() -> None:
    options = parse()
    voice_file = options.voice or written_voice()
    (component,) = load_voice(VoiceFiles(voice_file)).components
    frames = round(options.seconds * component.frame_rate)
    digest = hashlib.sha256(voice_file.read_bytes()).hexdigest()[:8]
    folder = BUILD / "rvc_int8" / f"{voice_file.stem}-{digest}-{frames}"
    inputs = component.reference_inputs({"T": frames})
    contenders: dict[str, Contender] = {EAGER: Contender(eager(component, inputs))}
    missing: dict[str, str] = {}

    stock = Stock(component, load_targets()["onnxruntime-cpu"], frames, folder / "stock", options.stock_python)
    for recipe in RECIPES:
        if wanted(recipe.label, options.only):
            try:
                run = stock.load(recipe, options.threads, inputs)
            except StockError as error:
                missing[recipe.label] = str(error)
            else:
                size = (stock.folder / recipe.file).stat().st_size
                contenders[recipe.label] = Contender(run, size, f"stock {recipe.tool}", recipe.float32)
    for spelled in options.ours:
        name = f"voxc {spelled}"
        if wanted(name, options.only):
            try:
                contenders[name] = ours(spelled, voice_file, folder, frames, inputs, options)
            except (VoxcError, StockError) as error:
                missing[name] = str(error)

    outputs = {name: output for name, each in contenders.items() if (output := try_out(name, each.run, missing))}
    contenders = {name: each for name, each in contenders.items() if name in outputs}
    expected = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"].numpy()
    with torch_threads(options.threads):
        taken = interleave({name: each.run for name, each in contenders.items()}, options.runs, float("inf"))
    rows = [row_of(name, contenders, taken, expected, outputs[name]["audio"]) for name in contenders]
    rows += [Row(name, why) for name, why in missing.items()]
    about = {
        "machine": cpu_name(), "integer_features": integer_features(), "threads": options.threads, "runs": options.runs,
        "frames": frames, "voice": voice_file.name, "versions": tool_versions(["onnxruntime", "ai-edge-litert"]),
    }  # fmt: skip
    show(about, rows)
    if options.json:
        options.json.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, help="a checkpoint of full size (default: random weights)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0, help="of audio")
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="rows to time, as `stock*` or `voxc*`; eager always"
    )
    plugged = OPENVINO if "openvino" in BACKENDS else ()
    parser.add_argument("--ours", nargs="+", default=(*OURS, *plugged), metavar="TARGET[:PRECISION]")
    parser.add_argument("--reuse", action="store_true", help="take the bundles that an earlier run has compiled")
    parser.add_argument("--stock-python", type=Path, default=BUILD / "stock" / "bin" / "python")
    parser.add_argument("--make-stock-environment", action="store_true", help="in build/stock; 7 GB")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.make_stock_environment:
        options.stock_python = make_environment(BUILD / "stock")
    return options


def wanted(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def written_voice() -> Path:
    path = BUILD / "rvc_int8" / "v2_40k.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path if path.exists() else write_voice(path)


def eager(component: Component, inputs: Mapping[str, Array]) -> Run:
    arguments = [torch.from_numpy(inputs[spec.name]) for spec in component.inputs]

    def run() -> Mapping[str, Array]:
        with torch.inference_mode():
            return {"audio": component.module(*arguments).numpy()}

    return run


def ours(
    spelled: str, voice: Path, folder: Path, frames: int, inputs: dict[str, Array], options: argparse.Namespace
) -> Contender:
    """A bundle of `voxc compile`, in a process of its own so that its memory is gone before anything is timed.

    Raises:
        VoxcError, StockError: there is no such target or precision, or the compiler failed.
    """
    target, _, precision = spelled.partition(":")
    place = folder / spelled.replace(":", "-")
    if place.exists() and not options.reuse:
        shutil.rmtree(place)
    if not place.exists():
        command = ["compile", voice, "--target", target, "-o", place, "--frames", frames, "--threads", options.threads]
        command += ["--precision", precision] if precision else []
        done = subprocess.run(
            [sys.executable, "-m", "voxc.compiler", *map(str, command)], capture_output=True, text=True, check=False
        )
        if not place.exists():  # a bundle below its bound is written, and fails the command
            raise StockError(last_line(done.stderr))
    bundle = Bundle.open(place)
    runner = load_component(bundle, "synthesizer", options.threads)
    size = sum(bundle.path(file).stat().st_size for file in bundle.manifest.component("synthesizer").files)
    format = bundle.manifest.component("synthesizer").format
    float32 = bundle.manifest.build.recipe.precision == "fp32"
    return Contender(lambda: runner.run(inputs), size, f"voxc {format}", float32)


def try_out(name: str, run: Run, missing: dict[str, str]) -> Mapping[str, Array] | None:
    """What a first run gives; None, and the reason among `missing`, where the runtime refuses its own file."""
    try:
        return run()
    except VoxcError as error:
        missing[name] = textwrap.shorten(str(error), 200)
        return None


def row_of(
    name: str, contenders: Mapping[str, Contender], taken: Mapping[str, Latency], expected: Array, found: Array
) -> Row:
    each, latency = contenders[name], taken[name]
    base = next((other.size for other in contenders.values() if other.float32 and other.tool == each.tool), None)
    drawn = name == EAGER  # it draws noise of its own
    return Row(
        name,
        median=latency.median * 1e3,
        least=latency.least * 1e3,
        to_eager=taken[EAGER].median / latency.median,
        snr=None if drawn else snr_db(expected, found),
        size=None if each.size is None else each.size / 1e6,
        of_float32=None if each.size is None or base is None else each.size / base,
    )


def show(about: Mapping[str, Any], rows: list[Row]) -> None:
    versions = about["versions"]
    print(f"{about['machine']} ({', '.join(about['integer_features']) or 'no integer instructions'})")
    print(", ".join(f"{tool} {version}" for tool, version in versions.items()))
    print(f"{about['voice']}, {about['frames']} frames, {about['threads']} threads, {about['runs']} runs in turn\n")
    width = max(len(row.name) for row in rows)
    print(" " * width + "".join(f"{title:>{form.partition('.')[0]}}" for title, form, _ in COLUMNS))
    for row in rows:
        cells = ((getattr(row, field), form) for _, form, field in COLUMNS)
        told = "".join(f"{'-':>{form.partition('.')[0]}}" if cell is None else f"{cell:{form}}" for cell, form in cells)
        print(f"{row.name:{width}}{f'  none: {row.why}' if row.why else told}")


if __name__ == "__main__":
    main()
