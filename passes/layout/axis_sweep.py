"""One sweep over a graph that rewrites each node for operands held in another order of axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from voxc.compiler.core.nodes import call_arguments
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.layout.axis_order import Held, Holdings, Order, normal, own_order, shape_of, with_axis

#: What holds the value of a node in the rewritten graph; None if the rule does not know how.
Rule = Callable[["Sweep", fx.Node], Held | None]


class Sweep(Holdings):
    """Rewrites node after node by `rules`, those of operators that they lack by `pointwise` or in the model's order."""

    def __init__(self, editor: GraphEditor, rules: Mapping[object, Rule], pointwise: Rule) -> None:
        super().__init__(editor)
        self.rules = rules
        self.pointwise = pointwise

    def rewrite(self) -> None:
        nodes = list(self.editor.graph.nodes)
        for node in nodes:
            with self.editor.before(node):
                self.visit(node)
        for node in reversed(nodes):
            if node.op == "call_function" and self.held[node].node is not node and not node.users:
                self.editor.graph.erase_node(node)
        self.editor.drop_dead_nodes()
        self.editor.modified = True

    def visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.held[node] = Held(node, own_order(shape_of(node)) if is_tensor(node) else None)
        elif node.op == "output":
            node.args = fx.map_arg(node.args, self.plain)
        else:
            pointwise = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags
            rule = self.rules.get(node.target, self.pointwise if pointwise else None)
            self.held[node] = (rule and rule(self, node)) or self.follow(node)

    def plain(self, value: fx.Node) -> fx.Node:
        """`value` with its axes in the model's own order."""
        return self.convert(value, own_order(shape_of(value))) if is_tensor(value) else self.held[value].node

    def now(self, argument: Any) -> Any:
        """An argument that may be a size that is computed, or have such in it."""
        return fx.map_arg(argument, lambda size: self.held[size].node)

    def follow(self, node: fx.Node) -> Held:
        """For operators without a rule: all operands in the model's own order."""
        call = self.call_like(node, fx.map_arg((node.args, node.kwargs), self.plain))
        return Held(call, own_order(shape_of(node)) if is_tensor(node) else None)

    def call_like(self, node: fx.Node, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> fx.Node:
        """`node` itself if that is what it calls already, so that nothing changes needlessly."""
        args, kwargs = arguments
        assert callable(node.target)
        return node if (args, kwargs) == (node.args, node.kwargs) else self.editor.call(node.target, *args, **kwargs)

    def call(self, node: fx.Node, order: Order, *args: Any) -> Held:
        """The operator of `node` on `args`, all that its schema has, for a result held in `order`."""
        result = node
        if list(args) != call_arguments(node):
            assert isinstance(node.target, torch._ops.OpOverload)
            positional, named = [], {}
            for argument, value in zip(node.target._schema.arguments, args, strict=True):
                if not argument.kwarg_only:
                    positional.append(value)
                elif value is not None:
                    named[argument.name] = value
            result = self.editor.call(node.target, *positional, **named)
        return Held(result, normal(order, shape_of(node)) if is_tensor(node) else order)

    def hold_with(self, value: fx.Node, axes: Iterable[int]) -> tuple[fx.Node, Order]:
        """The tensor that holds `value` and its order, in which `axes` are named even where their size is 1."""
        order = self.order(value)
        for axis in axes:
            order = with_axis(order, axis)
        return self.convert(value, normal(order, shape_of(value))), order


def is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)


def wrap(axis: int, value: fx.Node) -> int:
    return axis % max(value.meta["val"].dim(), 1)
