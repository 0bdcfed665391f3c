"""What an ONNX file holds, read back from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import NodeProto

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
SIZES = frozenset({"Shape", "Constant", "ConstantOfShape"})


def count_operators(file: Path) -> Mapping[str, Mapping[str, int]]:
    """How many operators of each type compute in what: `{"Conv": {"int8": 72, "fp32": 3}}`.

    `int8` stands between integers, as runtimes look for it: all that it takes is dequantized, and what it gives is
    quantized. `w8` has only weights that are; `fp16` has weights that are stored so.
    """
    graph = onnx.load(file, load_external_data=False).graph
    maker = {name: node for node in graph.node for name in node.output}
    users: defaultdict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for node in graph.node:
        if node.op_type not in SIZES:
            counts[node.op_type][arithmetic(node, maker, users, halves)] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def arithmetic(
    node: NodeProto, maker: Mapping[str, NodeProto], users: Mapping[str, list[NodeProto]], halves: set[str]
) -> str:
    """What an operator computes in."""
    if node.op_type in (QUANTIZE, DEQUANTIZE):
        return "int8"
    sources = [maker[name] for name in node.input if name in maker]
    whole = [source.op_type == DEQUANTIZE for source in sources]
    given = [user.op_type == QUANTIZE for name in node.output for user in users.get(name, [])]
    if whole and all(whole) and given and all(given):
        return "int8"
    if any(source.op_type == DEQUANTIZE and source.input[0] not in maker for source in sources):
        return "w8"
    return "fp16" if any(source.op_type == "Cast" and source.input[0] in halves for source in sources) else "fp32"
