"""Lowering tables: from calls of the graph to the functions that write them in a format."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from voxc.compiler.core.program import Program

aten = torch.ops.aten

#: `(build, node, *arguments)` -> the node's value, or a list of them if it has several results (None for those that
#: nothing uses). `arguments` are those of the operator's schema in order, tensors as FX nodes.
Lowering = Callable[..., Any]
#: Lowerings by the target of the call.
Lowerings = Mapping[object, Lowering]


def unsupported(program: Program, lowerings: Lowerings) -> list[fx.Node]:
    """The calls that `lowerings` has no lowering for, in the order of the graph."""
    return [node for node in program.graph.nodes if node.op == "call_function" and node.target not in lowerings]


def same(build: Any, node: fx.Node, x: fx.Node, *_: object) -> Any:
    """No format has PyTorch's memory formats or aliases: a copy is the value itself."""
    return build.values[x]


def getitem(build: Any, node: fx.Node, source: fx.Node, index: int) -> Any:
    return build.values[source][index]


#: Calls that no format writes anything for.
PASSED_ON: Lowerings = {
    aten.clone.default: same,
    aten.alias.default: same,
    operator.getitem: getitem,
}
