"""What an ONNX file holds, read back from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import onnx
from onnx import GraphProto, NodeProto, TensorProto

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
SIZES = frozenset({"Shape", "Constant", "ConstantOfShape"})


def count_operators(file: Path, planned: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Mapping[str, int]]:
    """How many operators of each type compute in what: `{"Conv": {"int8": 72, "fp32": 3}}`. Where that is float32, what
    is `planned` for the node, by name, goes before it.

    `int8` stands between integers, as runtimes look for it: all that it takes is dequantized, and what it gives is
    quantized. `w8` has only weights that are; `fp16` has weights that are stored so.
    """
    graph = onnx.load(file, load_external_data=False).graph
    tensors = Tensors(graph)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for node in graph.node:
        if node.op_type not in SIZES:
            found = tensors.arithmetic(node)
            counts[node.op_type][planned.get(node.name, found) if found == "fp32" else found] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


class Tensors:
    """Where the tensors of a graph come from and go to, by name; `floats` and `halves` are those that no node gives."""

    def __init__(self, graph: GraphProto) -> None:
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        given = [(each.name, each.data_type) for each in graph.initializer]
        given += [(each.name, each.type.tensor_type.elem_type) for each in graph.input]
        self.floats = {name for name, kind in given if kind == TensorProto.FLOAT}
        self.halves = {name for name, kind in given if kind == TensorProto.FLOAT16}

    def arithmetic(self, node: NodeProto) -> str:
        """What an operator computes in."""
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            return "int8"
        sources = [self.maker[name] for name in node.input if name in self.maker]
        whole = [source.op_type == DEQUANTIZE for source in sources]
        given = [user.op_type == QUANTIZE for name in node.output for user in self.users.get(name, [])]
        if whole and all(whole) and self.floats.isdisjoint(node.input) and given and all(given):
            return "int8"
        if any(source.op_type == DEQUANTIZE and source.input[0] not in self.maker for source in sources):
            return "w8"
        halves = any(source.op_type == "Cast" and source.input[0] in self.halves for source in sources)
        return "fp16" if halves else "fp32"
