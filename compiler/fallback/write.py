"""Writes a component's exported program as a fallback: a graph in JSON, and its weights as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, fx

from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program
from voxc.compiler.fallback.document import (
    Argument,
    Call,
    Document,
    DType,
    MemoryFormat,
    NonFinite,
    Reference,
    Single,
)
from voxc.compiler.fallback.operators import PLACES, name_of

FOLDER = "fallback"
GRAPH, WEIGHTS = ".json", ".safetensors"


def write_fallback(program: Program, directory: Path) -> tuple[Path, Path]:
    """Writes `fallback/<component>.json` and its weights into a bundle; the same program gives the same bytes.

    `program` takes its noise as inputs.

    Raises:
        UnsupportedError: the graph calls something that fallbacks may not have.
    """
    assert not program.noise, "noise is hoisted beforehand"
    weights, tensors = weights_of(program)
    document = Document(
        inputs=inputs_of(program),
        weights=weights,
        outputs={spec.name: node.name for spec, node in zip(program.outputs, program.results, strict=True)},
        calls=tuple(call_of(program.name, node) for node in needed(program)),
    )
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    graph = folder / f"{program.name}{GRAPH}"
    graph.write_text(in_lines(document), encoding="utf-8")
    file = graph.with_suffix(WEIGHTS)
    file.write_bytes(save(tensors))  # save_file would make it for its owner alone
    return graph, file


def inputs_of(program: Program) -> dict[str, str]:
    """The component's inputs by the nodes that they are."""
    nodes = [node.name for node in program.graph.nodes if node.op == "placeholder" and program.weight(node) is None]
    return dict(zip(nodes, (spec.name for spec in program.inputs), strict=True))


def weights_of(program: Program) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Names of tensors by the nodes that they are, and the tensors. torch.export has made one of what is shared."""
    names, tensors = {}, {}
    for node in program.graph.nodes:
        tensor = program.weight(node) if node.op == "placeholder" else None
        if tensor is not None and node.users:
            names[node.name] = str(program.weight_key(node))
            tensors[names[node.name]] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return names, tensors


def needed(program: Program) -> list[fx.Node]:
    """The calls that the outputs depend on, in order: assertions are not among them."""
    wanted = set(program.results)
    for node in reversed(program.graph.nodes):
        if node in wanted:
            wanted.update(node.all_input_nodes)
    return [node for node in program.graph.nodes if node in wanted and node.op != "placeholder"]


def call_of(component: str, node: fx.Node) -> Call:
    operator = name_of(node.target) if node.op == "call_function" else None
    if operator is None:
        place = module_path(node) or "the network"
        raise UnsupportedError(
            f"{component}: fallbacks have no {node.target} (of {place}); leave out --with-fallback, or add it to "
            "compiler/fallback/operators.py if all it does is compute"
        )
    keywords = {name: argument_of(value) for name, value in node.kwargs.items() if name not in PLACES}
    return Call(name=node.name, operator=operator, arguments=tuple(map(argument_of, node.args)), keywords=keywords)


def argument_of(value: Any) -> Argument:
    return tuple(map(single_of, value)) if isinstance(value, list | tuple) else single_of(value)


def single_of(value: Any) -> Single:
    if isinstance(value, fx.Node):
        return Reference(value=value.name)
    if isinstance(value, torch.dtype):
        return DType(dtype=str(value).removeprefix("torch."))  # type: ignore[arg-type]
    if isinstance(value, torch.memory_format):
        return MemoryFormat(memory_format=str(value).removeprefix("torch."))  # type: ignore[arg-type]
    if isinstance(value, float) and value - value != 0:
        return NonFinite(number=str(value))  # type: ignore[arg-type]
    return value


def in_lines(document: Document) -> str:
    """JSON with a line for each call."""
    whole = document.model_dump(mode="json")
    calls = ",\n".join(json.dumps({key: value for key, value in call.items() if value}) for call in whole.pop("calls"))
    head = json.dumps(whole)
    return f'{head[:-1]}, "calls": [\n{calls}\n]}}\n'
