"""A program as three files: weights, an exported function that takes them, and Python source that says the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx
from safetensors.numpy import save
from torch import fx

from voxc.backends.mlx import function_file
from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.network import Network
from voxc.backends.mlx.ops import LOWERINGS
from voxc.backends.mlx.python_source import python_source
from voxc.backends.mlx.statements import Value, run, values_in
from voxc.backends.mlx.weights import Weight
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program

FUNCTION, WEIGHTS, SOURCE = "model.mlxfn", "model.safetensors", "model.py"


def unsupported(program: Program) -> list[fx.Node]:
    """The nodes for which there is no lowering."""
    return [node for node in program.graph.nodes if node.op == "call_function" and node.target not in LOWERINGS]


def emit(program: Program, directory: Path) -> tuple[Path, ...]:
    """Writes the files into `directory`, which is made; gives them, the function first.

    Raises:
        UnsupportedError: a node has no lowering, or one that does not go as far; names it and its module.
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
    build = MlxBuilder(program.name, program.plan, [spec.name for spec in program.inputs])
    inputs: list[Value] = []
    specs = iter(program.inputs)
    for node in program.graph.nodes:
        build.node = node
        if node.op == "placeholder":
            key, tensor = program.weight_key(node), program.weight(node)
            if key is not None and tensor is not None:
                build.values[node] = Weight(key, tensor.detach().contiguous().numpy())
                continue
            spec = next(specs)
            build.values[node] = Value(spec.name, tuple(node.meta["val"].shape), spec.dtype)
            inputs.append(build.values[node])
        elif node.op == "call_function":
            if node.target not in LOWERINGS:
                raise build.refuse("there is no lowering for this operator")
            build.values[node] = LOWERINGS[node.target](build, node, *call_arguments(node))
    outputs = {}
    for node, spec in zip(program.results, program.outputs, strict=True):
        build.node = node
        outputs[spec.name] = build.value(node, spec.dtype)
    read = [value for statement in build.statements for value in values_in(statement.call)] + list(outputs.values())
    used = dict.fromkeys(value for value in read if value.weight)
    weights = {value: build.weights.arrays[value.name] for value in sorted(used, key=lambda value: value.name)}
    return Network(program.name, tuple(inputs), outputs, tuple(build.statements), weights)


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
