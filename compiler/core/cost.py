"""What the operators of a program have to do: multiply-accumulates, and bytes in and out of memory."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx

from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.figure import Figure, figure
from voxc.compiler.core.nodes import call_arguments, is_weight
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target

aten = torch.ops.aten
voxc = torch.ops.voxc

Arithmetic = Literal["float32", "float16", "int8"]

#: Bytes that a number takes: of what is computed with, by the arithmetic; of weights, by the plan's word for them.
ACTIVATION_BYTES: Mapping[Arithmetic, int] = {"float32": 4, "float16": 2, "int8": 1}
WEIGHT_BYTES: Mapping[Precision, float] = {"fp32": 4, "fp16": 2, "int8": 1, "w8": 1, "int4": 0.5}

#: They name what is there, and move nothing.
VIEWS = frozenset(
    {
        aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.unsqueeze.default,
        aten.squeeze.dim, aten.squeeze.dims, aten.alias.default, aten.detach.default, aten.expand.default,
        operator.getitem,
    }
)  # fmt: skip
#: They read as much as they write, however much there is to read from.
PICKS = frozenset(
    {
        aten.slice.Tensor, aten.select.int, aten.embedding.default, aten.gather.default, aten.index.Tensor,
        aten.index_select.default,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """One operator: multiply-accumulates, bytes that it reads and writes, and what it computes in."""

    name: str
    macs: int
    bytes: float
    arithmetic: Arithmetic


def costs(program: Program, target: Target) -> list[Cost]:
    """The work of all operators by the program's plan, which speaks of its nodes before integers are inserted.

    Symbolic sizes count as in the example that the program was traced with. Views are left out.
    """
    return [
        cost_of(program, node, target)
        for node in program.graph.nodes
        if node.op == "call_function" and node.target not in VIEWS and next(tensors_of(node), None) is not None
    ]


def cost_of(program: Program, node: fx.Node, target: Target) -> Cost:
    precision = program.plan.precision(node.name)
    arithmetic = arithmetic_of(precision, target)
    made = sum(held(each, ACTIVATION_BYTES[given_in(arithmetic, target)]) for each in tensors_of(node))
    if node.target in PICKS:
        read = made
    else:
        read = sum(
            held(tensor, weight_width(precision, target) if is_weight(program, given) else ACTIVATION_BYTES[arithmetic])
            for given in node.all_input_nodes
            for tensor in tensors_of(given)
        )
    return Cost(node.name, macs_of(node), made + read, arithmetic)


def integer_figures(program: Program) -> dict[str, Figure]:
    """The figure `int8_macs`: which share of its products a program's plan has in int8, if any."""
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    products = {node.name: macs_of(node) for node in calls}
    integers = [products[node.name] for node in calls if program.plan.precision(node.name) == "int8"]
    if not sum(integers):
        return {}
    whole = sum(products.values())
    told = f"multiply-accumulates of layers that the plan {'allows' if program.plan.implicit else 'has in'} int8"
    return {"int8_macs": figure(100 * sum(integers) / whole, "%", f"{told}, of {whole / 1e9:.4g} G in all")}


def arithmetic_of(precision: Precision, target: Target) -> Arithmetic:
    """What a node of a plan computes in on a target."""
    if precision in ("fp32", "int8"):
        return "float32" if precision == "fp32" else "int8"
    return target.arithmetic


def given_in(arithmetic: Arithmetic, target: Target) -> Arithmetic:
    """What a node gives that computes in `arithmetic`."""
    floats = arithmetic == "int8" and target.scheme is not None and target.scheme.outputs == "floats"
    return target.arithmetic if floats else arithmetic


def weight_width(precision: Precision, target: Target) -> float:
    """Bytes that each number of a weight takes while a target computes; what it emulates is smaller in files alone."""
    return ACTIVATION_BYTES[target.arithmetic] if precision in target.emulated.values() else WEIGHT_BYTES[precision]


def tensors_of(node: fx.Node) -> Iterator[Tensor]:
    """The tensors that a node gives, as far as the graph knows of them."""
    value = node.meta.get("val")
    yield from (each for each in (value if isinstance(value, tuple | list) else (value,)) if isinstance(each, Tensor))


def held(tensor: Tensor, of_float: float) -> float:
    """The bytes of a tensor, where a floating-point number takes `of_float` of them."""
    return count(tensor) * (of_float if tensor.is_floating_point() else tensor.dtype.itemsize)


def count(tensor: Tensor) -> int:
    return math.prod(sizes(tensor))


def sizes(tensor: Tensor) -> list[int]:
    """The sizes of a tensor, symbolic ones as in the example."""
    return [size if isinstance(size, int) else int(size.node.hint) for size in tensor.shape]


def macs_of(node: fx.Node) -> int:
    """The multiply-accumulates of a convolution or a product of matrices; 0 of all else."""
    counted = COUNTED.get(node.target)
    return 0 if counted is None else counted(node, [given(each) for each in call_arguments(node)])


def given(argument: Any) -> Any:
    """The tensor that an argument stands for, or the argument."""
    return argument.meta["val"] if isinstance(argument, fx.Node) else argument


def of_convolution(node: fx.Node, arguments: list[Any]) -> int:
    """Weights [O, I / groups, *K]: each result takes those of one output. Where it is transposed [I, O / groups, *K]:
    each element that comes in takes those of one input."""
    x, weight, _, _, _, _, transposed, *_ = arguments
    return count(x if transposed else node.meta["val"]) * math.prod(sizes(weight)[1:])


def of_channels_last(node: fx.Node, arguments: list[Any]) -> int:
    """Weights [O, *K, I / groups], also where it is transposed."""
    x, weight, _, _, _, _, transposed, _, groups = arguments
    channels, *kernel, inputs = sizes(weight)
    if transposed:
        return count(x) * math.prod(kernel) * channels // groups
    return count(node.meta["val"]) * math.prod(kernel) * inputs


def of_product(node: fx.Node, arguments: list[Any]) -> int:
    """A product with the left factor [..., K] in front."""
    return count(node.meta["val"]) * sizes(arguments[0])[-1]


def of_sum_with_product(node: fx.Node, arguments: list[Any]) -> int:
    return count(node.meta["val"]) * sizes(arguments[1])[-1]


def of_recurrent(node: fx.Node, arguments: list[Any]) -> int:
    """Each frame takes all weights, inner and recurrent ones."""
    x, inner, recurrent, _ = arguments
    return math.prod(sizes(x)[:2]) * (count(inner) + count(recurrent))


COUNTED: Mapping[Any, Callable[[fx.Node, list[Any]], int]] = {
    aten.convolution.default: of_convolution,
    voxc.conv_channels_last.default: of_channels_last,
    aten.mm.default: of_product,
    aten.bmm.default: of_product,
    aten.matmul.default: of_product,
    aten.linear.default: of_product,
    voxc.matmul_channels.default: of_product,
    voxc.gru.default: of_recurrent,
    aten.addmm.default: of_sum_with_product,
    aten.baddbmm.default: of_sum_with_product,
}
