"""What the nodes of a program's graph are."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, fx


class HasWeights(Protocol):
    """A program, or a graph that is being edited."""

    def weight(self, node: fx.Node, /) -> Tensor | None:
        """The tensor behind a parameter, buffer or constant; None for every other node."""


def is_float(node: fx.Node) -> bool:
    """Whether a node gives one float32 tensor."""
    return getattr(node.meta.get("val"), "dtype", None) is torch.float32


def is_weight(graph: HasWeights, node: object) -> bool:
    """Whether a node stands for a parameter, a buffer or a constant of the network."""
    return isinstance(node, fx.Node) and node.op == "placeholder" and graph.weight(node) is not None


def module_path(node: fx.Node) -> str:
    """Where in the user's model a node comes from, as `dec.resblocks.0`; empty for the network itself."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if not path.startswith("_")]  # torch.export's own marks
    return paths[-1] if paths else ""


def call_arguments(node: fx.Node) -> list[Any]:
    """All arguments of a call in the order of its ATen schema, defaults filled in; as given for other calls."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return list(node.args)
    schema = node.target._schema.arguments
    given = dict(zip((argument.name for argument in schema), node.args, strict=False)) | node.kwargs
    return [given.get(argument.name, argument.default_value) for argument in schema]
