"""A program as a TFLite file."""

from __future__ import annotations

from pathlib import Path

from torch import fx

from voxc.backends.tflite.builder import TfliteBuilder, Weight
from voxc.backends.tflite.file import Value
from voxc.backends.tflite.ops import LOWERINGS
from voxc.compiler.core.program import Program


def unsupported(program: Program) -> list[fx.Node]:
    """The nodes for which there is no lowering."""
    return [node for node in program.graph.nodes if node.op == "call_function" and node.target not in LOWERINGS]


def emit(program: Program, path: Path) -> None:
    """Writes the program.

    Raises:
        UnsupportedError: a node has no lowering, or one that does not go as far; names it and its module.
    """
    build = TfliteBuilder(program.name)
    inputs: dict[str, Value] = {}
    specs = iter(program.inputs)
    for node in program.graph.nodes:
        build.node = node
        if node.op == "placeholder":
            key, tensor = program.weight_key(node), program.weight(node)
            if key is not None and tensor is not None:
                build.values[node] = Weight(key, tensor.detach().contiguous().numpy())
                continue
            spec = next(specs)
            build.values[node] = inputs[spec.name] = build.file.tensor(
                spec.name, tuple(node.meta["val"].shape), spec.dtype
            )
        elif node.op == "call_function":
            if node.target not in LOWERINGS:
                raise build.refuse("there is no lowering for this operator")
            build.lower(node, LOWERINGS[node.target])
    content = build.file.pack(inputs, outputs_of(program, build, inputs))
    with path.open("wb") as stream:
        stream.write(content)


def outputs_of(program: Program, build: TfliteBuilder, inputs: dict[str, Value]) -> dict[str, Value]:
    """The outputs by name, each a tensor of its own called so."""
    outputs: dict[str, Value] = {}
    for node, spec in zip(program.results, program.outputs, strict=True):
        build.node = node
        value = build.real(node)
        if value.constant or value in (*inputs.values(), *outputs.values()):
            value = build.op("RESHAPE", value, build.integers(value.shape), like=value, newShape=value.shape)
        build.file.rename(value, spec.name)
        outputs[spec.name] = value
    return outputs
