"""F0 networks for several targets: bytes, accuracy and speed beside PyTorch in the same run.

    python benchmarks/f0_networks.py [--rmvpe rmvpe.pt] [--frames 400] [--target T ...] [--precision P]

RMVPE at full size, with random weights unless a file is given: their salience has no pitch, so that only its SNR says
something. Latency is that of a segment; the ratio is to float32 PyTorch on as many threads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from voxc.backends import known_targets
from voxc.compiler.core.machine import cpu_name, integer_features
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.driver import compile_model
from voxc.compiler.networks.rmvpe.network import RmvpeConfig, RmvpeNetwork
from voxc.compiler.request import Request

TARGETS = ("onnxruntime-cpu", "tflite-float32", "apple-mlx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rmvpe", type=Path, help="a file of its weights (default: random ones)")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--target", nargs="+", default=TARGETS)
    parser.add_argument("--precision")
    options = parser.parse_args()
    print(f"{cpu_name()} ({', '.join(integer_features())}); segments of {options.frames / 100:g} s\n")
    print(f"{'target':20}{'MB':>8}{'SNR dB':>10}{'ms':>10}{'x PyTorch':>10}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.rmvpe or write_rmvpe(folder / "rmvpe.pt")
        for target in options.target:
            print(row(source, target, folder / target, options.frames, options.precision), flush=True)


def write_rmvpe(path: Path) -> Path:
    """Writes RMVPE at its full size, in float16 as RVC ships it, with random weights."""
    torch.manual_seed(0)
    state = RmvpeNetwork(RmvpeConfig()).state_dict()
    torch.save({key: each.half() if each.is_floating_point() else each for key, each in state.items()}, path)
    return path


def row(source: Path, target: str, output: Path, frames: int, precision: str | None) -> str:
    recipe = PrecisionRecipe.model_validate({"policy": precision, "min_snr": 1.0})
    request = Request(source, (known_targets()[target],), output, frames=frames, precision=recipe)
    ((_, manifest),) = compile_model(request)
    (component,) = manifest.build.components
    figures = manifest.measurements.components[component.name].figures
    size = sum(file.bytes for file in component.files) / 1e6
    numbers = (figures[name].value for name in ("snr", "latency_median", "speedup"))
    return f"{target:20}{size:8.1f}" + "".join(f"{'-' if each is None else f'{each:.2f}':>10}" for each in numbers)


if __name__ == "__main__":
    main()
