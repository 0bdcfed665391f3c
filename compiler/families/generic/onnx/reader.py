"""An ONNX file as a network: its inputs bound to sizes, its graph walked, its outputs named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.network import Network, spec_of
from voxc.compiler.families.generic.onnx.call import MAX_ELEMENTS, Value
from voxc.compiler.families.generic.onnx.file import read_model
from voxc.compiler.families.generic.onnx.graph import GraphWalk
from voxc.compiler.families.generic.onnx.tensors import torch_type

MAX_NAME_CHARS = 200


def read_onnx(path: Path, sizes: Mapping[str, int] | None = None) -> Network:
    """The network in an ONNX file, in float32; `sizes` binds the names of sizes that the file leaves open.

    A size without a name is called after its input and axis, as `audio.1`.

    Raises:
        CheckpointError: the file is damaged, hostile or has an operator that is not supported, or a size is open.
    """
    sizes = sizes or {}
    model = read_model(path)
    opsets = {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}
    functions = {(each.domain, each.name): each for each in model.functions}
    walk = GraphWalk(path, functions)
    scope: dict[str, Value] = {}
    walk.add_initializers(model.graph, scope)
    inputs = [each for each in model.graph.input if each.name not in scope]
    shapes = bind(path, inputs, sizes)
    specs = []
    for each in inputs:
        dtype = torch_type(each.type.tensor_type.elem_type, f"{path}: input {each.name}")
        dtype = torch.float32 if dtype.is_floating_point else dtype
        scope[each.name] = walk.add_input(each.name, shapes[each.name], dtype)
        specs.append(
            spec_of(each.name, scope[each.name].fake, each.doc_string[:MAX_NAME_CHARS] or "input of the graph")
        )
    walk.walk(model.graph.node, scope, opsets)
    missing = [each.name for each in model.graph.output if each.name not in scope]
    if missing or not model.graph.output:
        raise CheckpointError(f"{path}: no node computes the output {missing[0] if missing else 'of the graph'}")
    results = [walk.in_float32(scope[each.name]) for each in model.graph.output]
    outputs = [
        spec_of(each.name, value.fake, each.doc_string[:MAX_NAME_CHARS] or "output of the graph")
        for each, value in zip(model.graph.output, results, strict=True)
    ]
    module = walk.network(results)
    return Network(module, tuple(specs), tuple(outputs), facts(model, module, opsets), tuple(summary(walk.warnings)))


def bind(path: Path, inputs: list[Any], sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """The shapes of the inputs.

    Raises:
        CheckpointError: a size is neither in the file nor in `sizes`, or no input has one of that name.
    """
    shapes: dict[str, list[int]] = {}
    names, open_sizes = set(), {}
    for each in inputs:
        if each.type.WhichOneof("value") != "tensor_type":
            raise CheckpointError(f"{path}: input {each.name} is no tensor; only tensors are supported")
        if not each.type.tensor_type.HasField("shape"):
            raise CheckpointError(f"{path}: input {each.name} has no shape; export the model with one")
        shape = shapes[each.name] = []
        for axis, dim in enumerate(each.type.tensor_type.shape.dim):
            name = dim.dim_param or f"{each.name}.{axis}"
            fixed = dim.dim_value if dim.HasField("dim_value") else 0
            if fixed <= 0:
                names.add(name)
                if name not in sizes:
                    open_sizes[name] = f"axis {axis} of input {each.name}"
                fixed = sizes.get(name, 1)
            if fixed < 1:
                raise CheckpointError(f"{path}: size {name} is {fixed}; sizes are at least 1")
            shape.append(fixed)
        count = 1
        for size in shape:
            count *= size
        if count > MAX_ELEMENTS:
            raise CheckpointError(f"{path}: input {each.name} has shape {shape}; at most {MAX_ELEMENTS} elements fit")
    unknown = sorted(sizes.keys() - names)
    if unknown:
        known = f"; it has {', '.join(sorted(names))}" if names else "; all its sizes are fixed"
        raise CheckpointError(f"{path}: no input has a size called {unknown[0]!r}{known}")
    if open_sizes:
        options = " ".join(f"--size {name}=N" for name in open_sizes)
        where = ", ".join(f"{name} ({place})" for name, place in open_sizes.items())
        raise CheckpointError(f"{path}: sizes left open: {where}; give them: {options}")
    return shapes


def facts(model: Any, module: torch.nn.Module, opsets: Mapping[str, int]) -> dict[str, str | int | float]:
    tensors = [*module.parameters(), *module.buffers()]
    producer = f"{model.producer_name} {model.producer_version}".strip()[:MAX_NAME_CHARS]
    return {
        "format": "onnx",
        "producer": producer or "unknown",
        "opset": opsets.get("", onnx.defs.onnx_opset_version()),
        "nodes": len(model.graph.node),
        "parameters": sum(tensor.numel() for tensor in tensors),
    }


def summary(warnings: list[str]) -> list[str]:
    """Each warning once, with how often it was given."""
    return [
        message if (times := warnings.count(message)) == 1 else f"{message} ({times} times)"
        for message in dict.fromkeys(warnings)
    ]
