"""What a user gets from the tools' own recipes: float32 and int8 files of one network, and how to run them.

The network is the eager one with its noise as inputs (litert-torch stops at `randn_like`, and outputs could not be
compared) and its weight norms folded, as RVC's own `remove_weight_norm` does. Nothing else of voxc touches it.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import Array
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm
from voxc.passes.source.hoist_noise import HoistNoise

PACKAGES = ("litert-torch==0.10.0", "ai-edge-quantizer==0.10.0")
SEEDS = range(1, 9)  # of calibration
Run = Callable[[], Mapping[str, Array]]
Samples = list[dict[str, Array]]


class StockError(Exception):
    """A recipe cannot be had here; the message says why."""


@dataclass(frozen=True)
class Recipe:
    """A stock artifact: the tool that makes it, its file, and whether it is the float32 one of its tool."""

    label: str
    tool: str
    file: str

    @property
    def float32(self) -> bool:
        return self.file.startswith("float32")


# What quantize_static is given beside its defaults, by file.
ONNX_OPTIONS: dict[str, dict[str, Any]] = {
    "static.onnx": {},
    "per-channel.onnx": {"per_channel": True},
    "convolutions.onnx": {"per_channel": True, "op_types_to_quantize": ["Conv", "ConvTranspose"]},
}

RECIPES = (
    Recipe("stock ONNX Runtime float32", "onnx", "float32.onnx"),
    Recipe("stock ONNX Runtime static int8", "onnx", "static.onnx"),
    Recipe("stock ONNX Runtime static int8, per channel", "onnx", "per-channel.onnx"),
    Recipe("stock ONNX Runtime static int8, convolutions only", "onnx", "convolutions.onnx"),
    Recipe("stock LiteRT float32", "tflite", "float32.tflite"),
    Recipe("stock LiteRT static int8", "tflite", "static.tflite"),
    Recipe("stock LiteRT static int8, convolutions only", "tflite", "convolutions.tflite"),
    Recipe("stock LiteRT dynamic int8", "tflite", "dynamic.tflite"),
)


@dataclass(frozen=True)
class Stock:
    """Makes and keeps stock files under `folder`; `python` belongs to an environment with PACKAGES."""

    component: Component
    target: Target
    frames: int
    folder: Path
    python: Path

    def make(self, path: Path) -> Path:
        """The file, made unless it is there.

        Raises:
            StockError: the recipe's packages are missing, or its tool fails.
        """
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            {".onnx": self.make_onnx, ".tflite": self.make_tflite}[path.suffix](path)
        return path

    def program(self) -> Program:
        program = export(self.component, {"T": self.frames}, dynamic=False)
        for each in (HoistNoise(), FoldWeightNorm()):
            program = each(program, self.target).program
        return program

    def samples(self) -> Samples:
        """What voxc calibrates with too, in the order in which the network takes it; fidelity is measured on seed 0."""
        calls = (self.component.reference_inputs({"T": self.frames}, seed) for seed in SEEDS)
        return [{name: call[name] for name in self.names} for call in calls]

    @property
    def names(self) -> list[str]:
        return [spec.name for spec in (*self.component.inputs, *self.component.noise)]

    def make_onnx(self, path: Path) -> None:
        source = self.folder / "float32.onnx"
        with tempfile.TemporaryDirectory(dir=self.folder) as place, quiet():
            made = Path(place) / path.name
            if path == source:
                graph = torch.onnx.export(self.program().exported, (), dynamo=True, verbose=False)
                assert graph is not None
                outputs = [spec.name for spec in self.component.outputs]
                entries = [*graph.model.graph.inputs, *graph.model.graph.outputs]
                for entry, name in zip(entries, [*self.names, *outputs], strict=True):
                    entry.name = name
                graph.save(made, external_data=False)
            else:
                self.quantize_onnx(self.make(source), made)
            made.rename(path)

    def quantize_onnx(self, source: Path, path: Path) -> None:
        """The documented way: prepare, then quantize in place, with Q/DQ pairs."""
        from onnxruntime.quantization import CalibrationDataReader, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self, samples: Samples) -> None:
                self.left = iter(samples)

            def get_next(self) -> dict[str, Array] | None:
                return next(self.left, None)

        prepared = path.with_name("prepared.onnx")
        quant_pre_process(str(source), str(prepared))
        quantize_static(str(prepared), str(path), Reader(self.samples()), **ONNX_OPTIONS[path.name])

    def make_tflite(self, path: Path) -> None:
        """All of them: they come from one conversion."""
        if not self.python.exists():
            raise StockError(f"no {self.python}: give --stock-python, or --make-stock-environment")
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            network, samples = Path(place) / "network.pt2", Path(place) / "samples.npz"
            torch.export.save(self.program().exported, network)
            arrays = {f"{n}/{name}": array for n, sample in enumerate(self.samples()) for name, array in sample.items()}
            np.savez(samples, **arrays)  # type: ignore[arg-type]
            script = Path(__file__).with_name("stock_tflite.py")
            done = subprocess.run(
                [self.python, script, network, samples, self.folder], capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise StockError(f"{script.name}: {last_line(done.stderr)}")

    def load(self, recipe: Recipe, threads: int, inputs: Mapping[str, Array]) -> Run:
        """The recipe's artifact on `inputs`, made if need be."""
        path = self.make(self.folder / recipe.file)
        if recipe.tool == "onnx":
            runner = OnnxRuntimeRunner(path, threads)
            given = {name: inputs[name] for name in self.names}
            return lambda: runner.run(given)
        (output,) = self.component.outputs
        return litert(path, threads, [inputs[name] for name in self.names], output.name)


def litert(path: Path, threads: int, inputs: list[Array], output: str) -> Run:
    """A .tflite file on `inputs`, in the order in which its network took them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    details = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])  # ..._args_0, ..._args_1
    (result,) = interpreter.get_output_details()

    def run() -> Mapping[str, Array]:
        for detail, array in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], as_stored(array, detail))
        interpreter.invoke()
        scale, zero_point = result["quantization"]
        found = interpreter.get_tensor(result["index"])
        return {output: (found.astype(np.float32) - zero_point) * np.float32(scale) if scale else found}

    return run


def as_stored(array: Array, detail: Mapping[str, Any]) -> Array:
    """An input as its file wants it: the full static recipe has integers at the ends of the network too."""
    dtype, (scale, zero_point) = detail["dtype"], detail["quantization"]
    if scale:
        limits = np.iinfo(dtype)
        array = np.clip(np.rint(array / scale) + zero_point, limits.min, limits.max)
    return array.astype(dtype, copy=False)


def make_environment(folder: Path) -> Path:
    """The Python of a new environment with PACKAGES; 7 GB, once."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporters' chatter off the table."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
