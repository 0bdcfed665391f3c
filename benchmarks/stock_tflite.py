"""Stock LiteRT files of a network: litert-torch converts, ai-edge-quantizer quantizes, both with their defaults.

`rvc_int8.py` starts this script with the Python of an environment that has both packages (they need another PyTorch
than voxc, and 7 GB of disk); nothing here imports voxc. litert-torch stops at `randn_like`, so NETWORK takes its noise
as inputs; apart from that the recipes get the network as it is.

    python benchmarks/stock_tflite.py NETWORK.pt2 SAMPLES.npz OUTPUT

NETWORK.pt2 is what torch.export.save wrote; SAMPLES.npz has `sample/input` for every input, in order; the first sample
is also the example to convert with. Files that OUTPUT already has are not made again.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_quantizer import qtyping, quantizer, recipe, recipe_manager

CONVOLUTIONS = ("CONV_2D", "CONV_2D_TRANSPOSE", "DEPTHWISE_CONV_2D")


def convolutions_only() -> qtyping.ModelQuantizationRecipe:
    manager = recipe_manager.RecipeManager()
    for operator in CONVOLUTIONS:
        manager.add_static_config(
            regex=".*",
            operation_name=qtyping.TFLOperationName(operator),
            activation_num_bits=8,
            weight_num_bits=8,
        )
    return manager.get_quantization_recipe()


RECIPES: dict[str, Callable[[], qtyping.ModelQuantizationRecipe]] = {
    "static": recipe.static_wi8_ai8,
    "convolutions": convolutions_only,
    "dynamic": recipe.dynamic_wi8_afp32,
}


def read_samples(path: Path) -> list[dict[str, np.ndarray]]:
    samples: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            sample, _, name = key.partition("/")
            samples.setdefault(sample, {})[name] = arrays[key]
    return list(samples.values())


def convert(network: Path, sample: dict[str, np.ndarray], path: Path) -> None:
    module = torch.export.load(network).module()
    arguments = tuple(torch.from_numpy(array) for array in sample.values())
    litert_torch.convert(module, arguments).export(str(path))


def quantize(source: Path, name: str, samples: list[dict[str, np.ndarray]], path: Path) -> None:
    work = quantizer.Quantizer(str(source), RECIPES[name]())
    found = None
    if work.need_calibration:
        # The converter names inputs by their place and narrows integers to 32 bits.
        places = [
            {
                f"args_{place}": array.astype(np.int32) if array.dtype == np.int64 else array
                for place, array in enumerate(sample.values())
            }
            for sample in samples
        ]
        found = work.calibrate({"serving_default": places}, num_threads=torch.get_num_threads())
    work.quantize(found).export_model(str(path), overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()

    samples = read_samples(options.samples)
    source = options.output / "float32.tflite"
    makers: dict[Path, Callable[[Path], None]] = {source: lambda path: convert(options.network, samples[0], path)}
    for name in RECIPES:
        makers[options.output / f"{name}.tflite"] = functools.partial(quantize, source, name, samples)
    for path, make in makers.items():
        if path.exists():
            continue
        started = time.perf_counter()
        partial = path.with_suffix(".partial")
        make(partial)
        partial.rename(path)
        print(f"{path.name}: {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
