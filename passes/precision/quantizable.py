"""What integers can do in a graph: which calls have weights, which pass integers on, which have integer kernels."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.nodes import HasWeights, call_arguments, is_float, is_weight

aten = torch.ops.aten
voxc = torch.ops.voxc


@dataclass(frozen=True)
class Operands:
    """Which arguments of a call are its activation, weight and bias, and the weight's axes of output channels (`axis`)
    and of input channels (`inputs`)."""

    activation: int
    weight: int
    bias: int | None
    axis: int
    inputs: int


OPERANDS: dict[Any, Operands] = {
    aten.convolution.default: Operands(0, 1, 2, axis=0, inputs=1),  # the other way round where it is transposed
    voxc.conv_channels_last.default: Operands(0, 1, 2, axis=0, inputs=-1),
    aten.addmm.default: Operands(1, 2, 0, axis=1, inputs=0),
    aten.linear.default: Operands(0, 1, 2, axis=0, inputs=1),
    aten.mm.default: Operands(0, 1, None, axis=1, inputs=0),
    aten.bmm.default: Operands(0, 1, None, axis=2, inputs=1),
}

#: They move values about and may add zeros: integers stay what they are.
MOVES = frozenset(
    {
        aten.permute.default, aten.transpose.int, aten.view.default, aten._unsafe_view.default, aten.reshape.default,
        aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.slice.Tensor, aten.select.int,
        aten.expand.default, aten.clone.default, aten.alias.default, aten.cat.default, aten.constant_pad_nd.default,
        aten.split_with_sizes.default, operator.getitem,
    }
)  # fmt: skip
ACTIVATIONS = frozenset({aten.leaky_relu.default, aten.relu.default})
ADD = aten.add.Tensor


def moves(node: fx.Node) -> bool:
    """Whether a node only moves what it is given, or pads it with zeros."""
    if node.op != "call_function" or node.target not in MOVES:
        return False
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, fx.Node) and source.target is aten.split_with_sizes.default
    return node.target is not aten.constant_pad_nd.default or call_arguments(node)[2] in (None, 0)


def factor(node: fx.Node) -> float | None:
    """The positive number by which a node multiplies a tensor; None if it does something else.

    Integers need no arithmetic for it: they get another scale.
    """
    if node.op != "call_function" or node.target not in (aten.mul.Tensor, aten.div.Tensor):
        return None
    source, number = node.args
    if not isinstance(source, fx.Node) or not isinstance(number, int | float) or not number > 0:
        return None
    return float(number) if node.target is aten.mul.Tensor else 1 / number


def is_add(node: fx.Node) -> bool:
    """Whether a node adds two float32 tensors, as a residual connection does."""
    return node.op == "call_function" and node.target is ADD and len(node.all_input_nodes) == 2 and is_float(node)


def follows(node: fx.Node) -> bool:
    """Whether a node has no say of its own: it computes on integers where both of its neighbours do."""
    return node.op == "call_function" and (node.target in ACTIVATIONS or factor(node) is not None) and is_float(node)


def operands(graph: HasWeights, node: fx.Node) -> Operands | None:
    """The operands of a convolution or matrix product with a constant weight; None for other nodes."""
    places = OPERANDS.get(node.target) if node.op == "call_function" else None
    if places is None or not is_float(node):
        return None
    arguments = call_arguments(node)
    if not is_weight(graph, arguments[places.weight]) or is_weight(graph, arguments[places.activation]):
        return None
    transposed = node.target is aten.convolution.default and arguments[6]
    return replace(places, axis=1, inputs=0) if transposed else places


def is_pointwise(weight: fx.Node, node: fx.Node) -> bool:
    """Whether a layer with a weight computes each position from that position alone: a matrix product, or a convolution
    with a kernel of one tap."""
    shape = weight.meta["val"].shape
    if node.target is aten.convolution.default:
        return math.prod(shape[2:]) == 1
    return node.target is not voxc.conv_channels_last.default or math.prod(shape[1:-1]) == 1


def has_kernel(node: fx.Node) -> bool:
    """Whether a layer has integer kernels with a scale for each output channel; products of batches have none."""
    return node.target is not aten.bmm.default


def sources(node: fx.Node) -> list[fx.Node]:
    """The float tensors that a node computes from, as they were before they were moved about."""
    floats = []
    for source in node.all_input_nodes:
        floats += sources(source) if moves(source) else [source] if is_float(source) else []
    return floats


def origins(node: fx.Node) -> list[fx.Node]:
    """What a node computes from; for one part of a split, the whole."""
    operands = node.all_input_nodes
    return operands[0].all_input_nodes if node.target is operator.getitem else operands


def uses(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes that compute from what a node gives, also after it was moved about."""
    for user in node.users:
        if moves(user):
            yield from uses(user)
        else:
            yield user
