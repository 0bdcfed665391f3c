"""What a fallback may compute: the operators that it may name, and what each takes.

A bundle can come from anyone, so this is a list and not a rule. All are functional: none writes to its arguments, draws
numbers, reads memory that nobody wrote, or gives sizes that depend on values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload

from voxc.compiler.fallback.document import Argument, DType, MemoryFormat, NonFinite, Reference

NAMES = """
_softmax.default _to_copy.default abs.default add.Tensor addmm.default alias.default amax.default amin.default
arange.start_step avg_pool2d.default bmm.default cat.default ceil.default clamp.default clone.default
constant_pad_nd.default convolution.default cos.default cumsum.default div.Tensor embedding.default eq.Scalar
eq.Tensor erf.default exp.default expand.default flip.default floor.default full.default full_like.default
gather.default ge.Scalar ge.Tensor gelu.default gt.Scalar gt.Tensor index.Tensor index_select.default le.Scalar
le.Tensor leaky_relu.default linalg_vector_norm.default log.default log1p.default logical_and.default
logical_not.default lt.Scalar lt.Tensor maximum.default mean.dim minimum.default mm.default mul.Tensor
native_group_norm.default native_layer_norm.default neg.default permute.default pow.Tensor_Scalar reciprocal.default
relu.default remainder.Scalar repeat.default round.default rsqrt.default scalar_tensor.default select.int
sigmoid.default sin.default slice.Tensor split_with_sizes.default sqrt.default squeeze.dims sub.Tensor sum.dim_IntList
sym_size.int tanh.default topk.default unsqueeze.default view.default where.self
"""
ATEN = frozenset(NAMES.split())
#: The largest size or index that a graph computes; above it Python's integers would go on growing.
MAX_NUMBER = 1 << 53
#: Arguments that say where tensors are and how: a fallback has dense ones in main memory, and does not say so.
PLACES = frozenset({"device", "layout", "pin_memory"})
NUMBER = (Reference, int, float, NonFinite)
TAKES: dict[str, tuple[type, ...]] = {
    "Tensor": (Reference, int, float),
    "int": (Reference, int),
    "number": NUMBER,
    "float": NUMBER,
    "bool": (bool,),
    "str": (str,),
    "ScalarType": (DType,),
    "MemoryFormat": (MemoryFormat,),
}


@dataclass(frozen=True)
class Operator:
    """An operator: its name in a graph, what computes it, and the types of its arguments in order and by name."""

    name: str
    function: Callable[..., Any]
    positions: tuple[str, ...]
    keywords: dict[str, str]

    def complaint(self, arguments: tuple[Argument, ...], keywords: dict[str, Argument]) -> str:
        """What is wrong with the types of arguments; empty if nothing is."""
        if len(arguments) > len(self.positions):
            return f"{len(arguments)} arguments of at most {len(self.positions)}"
        unknown = sorted(keywords.keys() - self.keywords.keys())
        if unknown:
            return f"no argument {unknown[0]!r}"
        given = [*zip(self.positions, arguments, strict=False)]
        given += [(self.keywords[name], argument) for name, argument in keywords.items()]
        wrong = [kind for kind, argument in given if not fits(kind, argument)]
        return f"no {wrong[0]}" if wrong else ""


def fits(kind: str, argument: Argument) -> bool:
    """Whether an argument is of a type of ATen's schemas, such as `Optional[List[int]]`."""
    inner = bracketed(kind, "Optional")
    if inner is not None:
        return argument is None or fits(inner, argument)
    inner = bracketed(kind, "List")
    if inner is not None:
        return isinstance(argument, tuple) and all(fits(inner, each) for each in argument)
    if isinstance(argument, bool):  # which Python counts among the integers
        return kind in ("bool", "number")
    return isinstance(argument, TAKES.get(kind, ()))


def bracketed(kind: str, outer: str) -> str | None:
    return kind[len(outer) + 1 : -1] if kind.startswith(f"{outer}[") else None


def find_operator(name: str) -> Operator | None:
    """The operator of a name such as `aten.add.Tensor`; None if fallbacks may not have it, or PyTorch has it not."""
    if name == GETITEM:
        return Operator(name, item, ("Tensor", "int"), {})
    if name in SIZES:
        return Operator(name, number(SIZES[name]), ("number",) if name in OF_ONE else ("number", "number"), {})
    if not name.startswith("aten.") or name.removeprefix("aten.") not in ATEN:
        return None
    packet, overload = name.removeprefix("aten.").split(".")
    function = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if not isinstance(function, OpOverload):
        return None
    schema = [each for each in function._schema.arguments if each.name not in PLACES]
    positions = tuple(str(each.real_type) for each in schema if not each.kwarg_only)
    return Operator(name, function, positions, {each.name: str(each.real_type) for each in schema})


def name_of(target: object) -> str | None:
    """The name of what a node calls; None if fallbacks may not have it."""
    if isinstance(target, OpOverload):
        return str(target) if target.namespace == "aten" and find_operator(str(target)) else None
    if target is operator.getitem:
        return GETITEM
    return next((name for name, function in SIZES.items() if function is target), None)


def item(values: object, index: int) -> Any:
    """One of several results."""
    if not isinstance(values, tuple | list):
        raise TypeError("getitem is for operators with several results")
    return values[index]


def number(compute: Callable[..., Any]) -> Callable[..., int | float]:
    """Arithmetic of sizes, on numbers alone and within bounds."""

    def bounded(*values: object) -> int | float:
        if not all(isinstance(value, int | float) for value in values):
            raise TypeError("sizes are numbers")
        found: int | float = compute(*values)
        if not abs(found) <= MAX_NUMBER:
            raise OverflowError(f"a size of {found}")
        return found

    return bounded


#: What an exported graph with a symbolic length calls to compute sizes.
SIZES: dict[str, Callable[..., Any]] = {
    "operator.add": operator.add,
    "operator.sub": operator.sub,
    "operator.mul": operator.mul,
    "operator.floordiv": operator.floordiv,
    "operator.truediv": operator.truediv,
    "operator.mod": operator.mod,
    "operator.neg": operator.neg,
    "torch.sym_float": torch.sym_float,
    "torch.sym_max": torch.sym_max,
    "torch.sym_min": torch.sym_min,
}
OF_ONE = frozenset({"operator.neg", "torch.sym_float"})
GETITEM = "operator.getitem"
