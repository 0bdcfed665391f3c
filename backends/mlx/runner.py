"""Runs an exported MLX function with its weights. Nothing of a bundle is executed as Python."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from voxc.backends.mlx import function_file
from voxc.backends.mlx.function_file import Device, Function
from voxc.backends.mlx.network import WEIGHTS
from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array

Call = Callable[[dict[str, mx.array]], tuple[mx.array, ...]]


class MlxRunner(Runner):
    """The function on a GPU if there is one, else on the CPU; `compiled` by `mx.compile`, on a GPU if nothing is said.

    MLX's compiler for CPUs calls g++ for every sequence of operations that it fuses, which takes longer than a run.
    """

    def __init__(self, file: Path, compiled: bool | None = None) -> None:
        device: Device = "gpu" if mx.is_available(mx.gpu) else "cpu"
        try:
            function, content = function_file.read(file.read_bytes(), device)
        except (OSError, BundleError) as error:
            raise BundleError(f"{file}: {error}") from error
        self.inputs, self.outputs = interface_of(function, file)
        self.weights = load_weights(file.with_name(WEIGHTS), function, self.inputs)
        self.function = imported(content, file)
        if device == "gpu" if compiled is None else compiled:
            self.function = mx.compile(self.function)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if inputs.keys() != set(self.inputs):
            raise TensorError(f"MLX takes the inputs {', '.join(self.inputs)}, not {', '.join(inputs)}")
        for name, array in inputs.items():
            wanted = self.inputs[name]
            if (array.shape, array.dtype.name) != (wanted.shape, wanted.dtype):
                told = f"{name} is {list(array.shape)} {array.dtype}, not {list(wanted.shape)} {wanted.dtype}"
                raise TensorError(f"MLX could not run these inputs: {told}")
        given = {name: mx.array(array) for name, array in inputs.items()}
        try:
            results = self.function({**given, **self.weights})
            mx.eval(results)
        except (ValueError, RuntimeError) as error:
            raise TensorError(f"MLX could not run these inputs: {error}") from error
        return {name: np.array(result) for name, result in zip(self.outputs, results, strict=True)}


def interface_of(function: Function, file: Path) -> tuple[dict[str, function_file.Tensor], list[str]]:
    """The inputs by name, without the weights, and the names of the outputs, both in order.

    Raises:
        BundleError: the file's own text does not tell them.
    """
    tensors = {name: function.tensors[number] for name, number in zip(function.names, function.inputs, strict=True)}
    try:
        told = json.loads(function.metadata)
        inputs, outputs = {name: tensors[name] for name in told["inputs"]}, [str(name) for name in told["outputs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file}: does not tell its inputs and outputs ({error})") from error
    if len(outputs) != len(function.outputs):
        raise BundleError(f"{file}: names {len(outputs)} of {len(function.outputs)} outputs")
    return inputs, outputs


def load_weights(file: Path, function: Function, inputs: Mapping[str, object]) -> dict[str, mx.array]:
    """The weights that a function takes.

    Raises:
        BundleError: the file is unreadable, or one is missing or of another shape or type.
    """
    if not file.is_file():
        raise BundleError(f"{file}: is missing")
    try:
        found = mx.load(str(file), format="safetensors")
        mx.eval(found)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{file}: not weights that MLX reads: {error}") from error
    assert isinstance(found, dict)
    weights = {}
    for name, number in zip(function.names, function.inputs, strict=True):
        if name in inputs:
            continue
        wanted, array = function.tensors[number], found.get(name)
        if array is None or (array.shape, str(array.dtype)) != (wanted.shape, f"mlx.core.{wanted.dtype}"):
            raise BundleError(f"{file}: has no {name} of {list(wanted.shape)} {wanted.dtype}")
        weights[name] = array
    return weights


def imported(content: bytes, file: Path) -> Call:
    """The function, by MLX's own reader, which takes files alone."""
    with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
        place = Path(directory) / file.name
        place.write_bytes(content)
        try:
            function: Any = mx.import_function(str(place))
        except (ValueError, RuntimeError, IndexError) as error:
            raise BundleError(f"{file}: MLX refuses it: {error}") from error

    def call(arguments: dict[str, mx.array]) -> tuple[mx.array, ...]:
        return tuple(function(**arguments))

    return call
