"""Nodes that do nothing go, and what depends on weights alone is computed once.

before:  y = clone(alias(x));  assert_metadata(x);  table = slice(pad(embedding))
after:   y = x;  table = constant
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from voxc.compiler.core.draws import GAUSSIAN_DRAWS, OTHER_DRAWS
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.nodes import call_arguments, is_weight
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor, same_shape
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten

ASSERTIONS = frozenset(
    {
        aten._assert_tensor_metadata.default, aten._assert_async.msg, aten._assert_scalar.default,
        aten.sym_constrain_range_for_size.default, aten.sym_constrain_range.default,
    }
)  # fmt: skip
COPIES = frozenset({aten.alias.default, aten.clone.default, aten.detach.default, aten.lift_fresh_copy.default})
NOTHING_IF_SAME_SHAPE = frozenset({aten.expand.default, aten.view.default, aten.slice.Tensor, aten._to_copy.default})


@dataclass(frozen=True)
class CleanUp(Rewrite):
    """Drops copies, assertions and dead nodes; folds constants of at most `most_folded_bytes`, or no larger than what
    they are made of.

    A larger constant stays a computation: weights may be expanded, but not without bound.
    """

    most_folded_bytes: int = 1 << 22

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        before = len(editor.graph.nodes)
        counts = {
            "assertions dropped": drop_assertions(editor),
            "copies dropped": drop_copies(editor),
            "constants folded": fold_constants(editor, self.most_folded_bytes),
        }
        editor.drop_dead_nodes()
        counts["dead nodes dropped"] = before - len(editor.graph.nodes) - sum(counts.values())
        editor.modified = any(counts.values())
        yield from (f"{count} {what}" for what, count in counts.items() if count > 0)

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        for node in after.graph.nodes:
            if not node.users and (node.target in ASSERTIONS or is_weight(after, node)):
                raise PassError(f"{self.name}: {after.name}: {node.name} is still there, and nothing uses it")


def drop_assertions(editor: GraphEditor) -> int:
    assertions = [node for node in editor.calls(*ASSERTIONS) if not node.users]
    for node in assertions:
        editor.graph.erase_node(node)
    return len(assertions)


def drop_copies(editor: GraphEditor) -> int:
    copies = [node for node in editor.calls(*COPIES, *NOTHING_IF_SAME_SHAPE, aten.permute.default) if is_copy(node)]
    for node in copies:
        editor.replace(node, call_arguments(node)[0])
        editor.graph.erase_node(node)
    return len(copies)


def is_copy(node: fx.Node) -> bool:
    source, *rest = call_arguments(node)
    if node.target is aten.permute.default:
        return list(rest[0]) == list(range(source.meta["val"].dim()))
    if node.target is aten.clone.default and any(user.target is aten.view.default for user in node.users):
        return False  # PyTorch's view needs the contiguous memory that the copy makes
    return node.target in COPIES or same_shape(source, node)


def fold_constants(editor: GraphEditor, most_bytes: int) -> int:
    """Replaces each call over weights and numbers alone by the weight that it gives."""
    values: dict[fx.Node, Any] = {}
    for node in editor.graph.nodes:
        if (tensor := editor.weight(node)) is not None:
            values[node] = tensor
        elif node.op == "call_function" and is_foldable(node, values, most_bytes):
            args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            with torch.inference_mode(False), torch.no_grad():
                values[node] = node.target(*args, **kwargs)
    folded = [node for node in values if node.op == "call_function"]
    for node in folded:
        value = values[node]
        used = any(user not in values for user in node.users)
        if isinstance(value, Tensor) and used:
            editor.replace(node, editor.add_weight(folded_key(editor, node), value.clone()))
    for node in reversed(folded):
        if not node.users:
            editor.graph.erase_node(node)
    return sum(node._erased for node in folded)


def folded_key(editor: GraphEditor, node: fx.Node) -> str:
    """What to call the value of a node: after the weight that it is made of, if that is a single one."""
    sources: set[fx.Node] = set()
    left = [node]
    while left:
        for source in left.pop().all_input_nodes:
            (sources.add if source.op == "placeholder" else left.append)(source)
    return f"{editor.weight_key(sources.pop())}_folded" if len(sources) == 1 else f"folded_{node.name}"


def is_foldable(node: fx.Node, values: dict[fx.Node, Any], most_bytes: int) -> bool:
    if node.target in GAUSSIAN_DRAWS | OTHER_DRAWS:
        return False
    result = node.meta.get("val")
    parts = result if isinstance(result, tuple | list) else [result]
    sizes = [static_bytes(part) for part in parts]
    if None in sizes or not all(source in values for source in node.all_input_nodes):
        return False
    operands = sum(static_bytes(values[source]) or 0 for source in node.all_input_nodes)
    return node.target is operator.getitem or sum(filter(None, sizes)) <= max(most_bytes, operands)


def static_bytes(value: object) -> int | None:
    """The size of a tensor of known shape."""
    if not isinstance(value, Tensor) or not all(isinstance(size, int) for size in value.shape):
        return None
    return value.numel() * value.element_size()
