"""Which nodes may compute on integers, which must not, and what follows from a choice of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping

import torch
from torch import fx

from voxc.compiler.core.nodes import call_arguments, is_float, is_weight
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.program import Program
from voxc.passes.precision.quantizable import aten, follows, has_kernel, is_add, moves, operands, sources, uses

#: What they are given must be exact to a small part of a cycle, or of a whole number, however large it is.
PHASE = {
    aten.sin.default: "sine", aten.cos.default: "cosine", aten.cumsum.default: "cumulative sum",
    aten.floor.default: "rounding", aten.remainder.Scalar: "remainder", aten.remainder.Tensor: "remainder",
}  # fmt: skip
STATISTICS = {
    aten._softmax.default: "is a softmax",
    **dict.fromkeys(
        (
            aten.native_layer_norm.default, torch.ops.voxc.layer_norm_channels.default,
            aten.native_group_norm.default, aten.var.correction,
            aten.var_mean.correction, aten.mean.dim, aten.rsqrt.default,
        ),
        "computes the statistics of a normalisation",
    ),
}  # fmt: skip
GOES_ON = frozenset({aten.sum.dim_IntList, aten.topk.default, operator.getitem})
PROJECTIONS = frozenset(
    {aten.convolution.default, torch.ops.voxc.conv_channels_last.default, aten.addmm.default, aten.mm.default,
     aten.linear.default}
)  # fmt: skip


def has_weight(program: Program, node: fx.Node) -> bool:
    """Whether a node is a convolution or a matrix product with a constant weight."""
    return operands(program, node) is not None


def phases(program: Program) -> dict[str, str]:
    """The calls that stay float32 in whatever arithmetic, each with the reason."""
    reasons = {}
    for node in program.graph.nodes:
        if node.target in PHASE:
            kind = PHASE[node.target]
            reasons[node.name] = f"is a {kind}"
            for source in closure([node], lambda each: each.all_input_nodes):
                reasons.setdefault(source.name, f"leads to a {kind}, which needs float32")
    return calls_among(program, reasons)


def islands(program: Program) -> dict[str, str]:
    """The calls that compute in float32 where all others do in float16, each with the reason: phases, and what goes
    with numbers that float16 does not have, from the layers before it to those behind it.

    Where such a number keeps something away from zero, float16 would divide by that zero.
    """
    reasons = phases(program)
    for node in program.graph.nodes:
        if not is_float(node) or not any(map(is_beyond_half, call_arguments(node))):
            continue
        around = closure([node], lambda each: [source for source in each.all_input_nodes if passes_on(source)])
        behind = closure([node], lambda each: [user for user in each.users if not has_weight(program, user)])
        for each in (node, *around, *behind):
            reasons.setdefault(each.name, "goes with a number that float16 does not have")
    return calls_among(program, reasons)


def is_beyond_half(argument: object) -> bool:
    """Whether an argument is a number that would be zero or infinite in float16, and is neither."""
    if not isinstance(argument, float) or argument == 0 or not math.isfinite(argument):
        return False
    return not torch.finfo(torch.float16).smallest_normal / 1024 <= abs(argument) <= torch.finfo(torch.float16).max


def passes_on(node: fx.Node) -> bool:
    """Whether a node only goes on with what it is given: element by element, summed up, ranked or moved."""
    pointwise = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags
    return pointwise or moves(node) or node.target in GOES_ON


def protected(program: Program) -> dict[str, str]:
    """The calls that never become integers, each with the reason."""
    reasons = phases(program)
    for node in program.graph.nodes:
        if node.name in reasons:
            continue
        if node.target in STATISTICS:
            reasons[node.name] = STATISTICS[node.target]
        elif has_weight(program, node) and is_scalar_product(program, node):
            reasons[node.name] = "has a single weight, so that integers would save nothing"
    for result in program.results:
        for node in last_layers(program, result):
            reasons[node.name] = "gives the output, before a tanh"
    return calls_among(program, reasons)


def calls_among(program: Program, reasons: Mapping[str, str]) -> dict[str, str]:
    calls = {node.name for node in program.graph.nodes if node.op == "call_function"}
    return {name: reason for name, reason in reasons.items() if name in calls}


def last_layers(program: Program, result: fx.Node) -> list[fx.Node]:
    """The layers behind the tanh that gives an output."""
    while moves(result):
        result = result.all_input_nodes[0]
    if result.target is not aten.tanh.default:
        return []
    return [node for node in sources(result) if has_weight(program, node)]


def is_scalar_product(program: Program, node: fx.Node) -> bool:
    weights = [each for each in node.all_input_nodes if is_weight(program, each)]
    return max(each.meta["val"].numel() for each in weights) == 1


def closure(nodes: Iterable[fx.Node], neighbours: Callable[[fx.Node], Iterable[fx.Node]]) -> set[fx.Node]:
    """All that can be reached from `nodes`, without them unless they are."""
    reached: set[fx.Node] = set()
    left = list(nodes)
    while left:
        for node in neighbours(left.pop()):
            if node not in reached:
                reached.add(node)
                left.append(node)
    return reached


def choices(program: Program) -> tuple[str, ...]:
    """The layers and sums that need not stay float32, in the order of the graph."""
    barred = protected(program)
    return tuple(
        node.name
        for node in program.graph.nodes
        if node.name not in barred and (has_weight(program, node) or is_add(node))
    )


def candidates(program: Program) -> tuple[str, ...]:
    """The nodes that may be chosen to compute on integers: layers with weights, and sums between integers."""
    free = choices(program)
    chosen = {node.name for node in program.graph.nodes if node.name in free and has_kernel(node)}
    integers = complete(program, chosen)
    return tuple(node.name for node in program.graph.nodes if node.name in integers and node.name in chosen)


def complete(program: Program, chosen: Collection[str]) -> dict[str, Precision]:
    """What each node computes in when the `chosen` candidates compute on integers.

    A layer does so where it is chosen. A sum does so where it is chosen, all that it adds comes from integers, and
    something that computes on integers uses it. An activation or a multiplication by a number does so on the same
    terms, without being chosen.
    """
    layers = {node for node in program.graph.nodes if node.name in chosen and has_weight(program, node)}
    integers = set(layers)
    for node in program.graph.nodes:
        joins = follows(node) or (is_add(node) and node.name in chosen)
        if joins and sources(node) and integers.issuperset(sources(node)):
            integers.add(node)
    for node in reversed(program.graph.nodes):
        if node in integers and node not in layers and integers.isdisjoint(uses(node)):
            integers.remove(node)
    return {node.name: "int8" for node in program.graph.nodes if node in integers}


def attention(program: Program) -> set[str]:
    """The layers of attention blocks: what leads to a softmax and what its weights are applied to, from the
    projections that come in to those that go out."""

    def beyond(neighbours: Iterable[fx.Node]) -> list[fx.Node]:
        return [node for node in neighbours if node.op == "call_function"]

    def is_projection(node: fx.Node) -> bool:
        return node.target in PROJECTIONS and has_weight(program, node)

    starts = [node for node in program.graph.nodes if node.target is aten._softmax.default]
    after = closure(starts, lambda node: () if is_projection(node) else beyond(node.users))
    inside = {node for node in (*starts, *after) if not is_projection(node)}
    before = closure(inside, lambda node: () if is_projection(node) else beyond(node.all_input_nodes))
    return {node.name for node in {*after, *before} if has_weight(program, node)}
