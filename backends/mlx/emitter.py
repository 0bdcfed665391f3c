"""A program as three files: weights, an exported function that takes them, and Python source that says the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx
from safetensors.numpy import save

from voxc.backends.mlx import function_file
from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.network import FUNCTION, SOURCE, WEIGHTS, Network
from voxc.backends.mlx.ops import LOWERINGS
from voxc.backends.mlx.python_source import python_source
from voxc.backends.mlx.statements import run, values_in
from voxc.compiler.core.program import Program


def emit(program: Program, directory: Path) -> tuple[Path, ...]:
    """Writes the files into `directory`, which is made; gives them, the function first.

    Raises:
        UnsupportedError: a call has no lowering, or one that does not cover its arguments.
    """
    network = lower(program)
    directory.mkdir(parents=True, exist_ok=True)
    function, weights, source = (directory / name for name in (FUNCTION, WEIGHTS, SOURCE))
    function.write_bytes(export(network))
    tensors = {value.name: array for value, array in network.weights.items()}
    weights.write_bytes(save(tensors))  # save_file would make it for its owner alone
    source.write_text(python_source(network, program.inputs, program.outputs), encoding="utf-8")
    return function, weights, source


def lower(program: Program) -> Network:
    build = MlxBuilder(program)
    build.lower_graph(LOWERINGS)
    read = [value for statement in build.statements for value in values_in(statement.call)]
    used = {value for value in (*read, *build.outputs.values()) if value.weight}
    weights = {value: build.weights.arrays[value.name] for value in sorted(used, key=lambda value: value.name)}
    return Network(program.name, tuple(build.inputs.values()), build.outputs, tuple(build.statements), weights)


def export(network: Network) -> bytes:
    """The network as an exported function on a GPU, whose arguments, all by name, are its inputs and its weights."""
    examples: dict[str, Any] = {
        value.name: mx.zeros(value.shape, getattr(mx, value.dtype)) for value in (*network.inputs, *network.weights)
    }

    def function(**given: mx.array) -> tuple[mx.array, ...]:
        arrays = {value: given[value.name] for value in (*network.inputs, *network.weights)}
        run(network.statements, arrays)
        return tuple(arrays[value] for value in network.outputs.values())

    told = {"inputs": [value.name for value in network.inputs], "outputs": list(network.outputs)}
    with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
        file = Path(directory) / FUNCTION
        mx.export_function(str(file), function, metadata=json.dumps(told), **examples)
        return function_file.read(file.read_bytes())[1]
