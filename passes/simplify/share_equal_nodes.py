"""Equal computations are done once.

before:  a = conv_1(leaky_relu(x));  b = conv_2(leaky_relu(x))
after:   y = leaky_relu(x);  a = conv_1(y);  b = conv_2(y)

The parallel residual blocks of a HiFi-GAN stage each activate the same signal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from voxc.compiler.core.draws import GAUSSIAN_DRAWS, OTHER_DRAWS
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite


@dataclass(frozen=True)
class ShareEqualNodes(Rewrite):
    """Lets all users of equal calls take the first one's value. Random draws are never equal."""

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        first: dict[Hashable, fx.Node] = {}
        shared: Counter[str] = Counter()
        for node in list(editor.graph.nodes):
            if not is_pure(node):
                continue
            known = first.setdefault(call_key(node), node)
            if known is not node:
                editor.replace(node, known)
                editor.graph.erase_node(node)
                shared[operator_name(node.target)] += 1
        if shared:
            counts = ", ".join(f"{count} {name}" for name, count in shared.most_common())
            yield f"computed once instead of again: {counts}"

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        first: dict[Hashable, fx.Node] = {}
        for node in filter(is_pure, after.graph.nodes):
            known = first.setdefault(call_key(node), node)
            if known is not node:
                raise PassError(f"{self.name}: {after.name}: {node.name} computes what {known.name} does")


def is_pure(node: fx.Node) -> bool:
    """Whether a node is a call that gives the same value each time."""
    if node.op != "call_function":
        return False
    return node.target not in GAUSSIAN_DRAWS | OTHER_DRAWS and not node.is_impure()


def call_key(node: fx.Node) -> Hashable:
    """What two calls must have in common to give one value; arguments that a call leaves out count as their defaults.

    1, 1.0 and True are equal in Python and not in a graph, so the key has their types.
    """
    kept = {} if isinstance(node.target, torch._ops.OpOverload) else dict(node.kwargs)
    return node.target, freeze(call_arguments(node)), freeze(sorted(kept.items()))


def freeze(argument: Any) -> Hashable:
    if isinstance(argument, list | tuple):
        return tuple(freeze(each) for each in argument)
    return type(argument), argument


def operator_name(target: object) -> str:
    return target._schema.name.removeprefix("aten::") if isinstance(target, torch._ops.OpOverload) else str(target)
