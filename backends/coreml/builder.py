"""Builds a function of an ML program from the nodes of an exported program, one value at a time."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from voxc.backends.coreml.constants import NUMPY, Constants
from voxc.backends.coreml.sdk import Var, mb, types
from voxc.backends.lowering.static import StaticBuilder
from voxc.backends.lowering.table import Lowering
from voxc.backends.lowering.weight import Weight
from voxc.compiler.core.nodes import call_arguments, is_weight
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import Array, TensorSpec

#: MIL's names of types, by PyTorch's. Real numbers are what the plan says; Core ML has no 64-bit integers.
TYPES = {torch.int64: "int32", torch.int32: "int32", torch.int8: "int8", torch.uint8: "uint8", torch.bool: "bool"}
SMALLEST_HALF, LARGEST_HALF = 2.0**-24, 65504.0
MAX_RANK = 5


class CoreMLBuilder(StaticBuilder[Var]):
    """A function under construction, and what the current node computes in.

    Operators are named after the module path in the user's model and the FX node.
    """

    def __init__(self, program: Program, grouped: bool) -> None:
        super().__init__(program, "Core ML")
        self.constants = Constants(lambda: f"{self.name()}_constant", grouped)
        self.casts: dict[tuple[Var, str], Var] = {}
        #: What stands for the inputs, once the function is there.
        self.parameters: Mapping[str, Var] = {}
        self.real = "fp32"
        self.made: Counter[str] = Counter()

    # What a lowering reads.

    def type_of(self, dtype: torch.dtype) -> str:
        """What a tensor of a type in the graph is at the current node."""
        if dtype.is_floating_point:
            return self.real
        if dtype not in TYPES:
            raise self.refuse(f"Core ML has no {dtype}")
        return TYPES[dtype]

    def operand(self, value: object, dtype: torch.dtype | None = None) -> Var:
        """A tensor operand, or a number, in what the current node computes in; `dtype` is what it would be in the
        graph, for others than a tensor of its own type."""
        if not isinstance(value, fx.Node):
            return self.number(value, dtype or torch.float32)  # type: ignore[arg-type]
        wanted = self.type_of(dtype or value.meta["val"].dtype)
        found = self.values[value]
        if isinstance(found, Weight):
            return self.store(found, wanted)
        assert isinstance(found, Var), f"{value} has several outputs"
        return self.cast(found, wanted)

    def number(self, value: float, dtype: torch.dtype) -> Any:
        """A number that broadcasts."""
        return NUMPY[self.type_of(dtype)](value)

    def scalar(self, value: float) -> Any:
        """A real number as an option of an operator."""
        return NUMPY[self.real](value)

    # What a lowering writes.

    def op(self, kind: str, **given: Any) -> Any:
        """Adds an operator; gives its result, or its results."""
        name = given.pop("name", None) or self.name()
        try:
            return getattr(mb, kind)(name=name, **given)
        except (ValueError, AssertionError, TypeError, NotImplementedError) as error:
            raise self.refuse(f"coremltools refuses {kind}: {error}") from error

    def cast(self, value: Var, wanted: str) -> Var:
        """In another type; once for each value."""
        if types.builtin_to_string(value.dtype) == wanted:
            return value
        if (value, wanted) not in self.casts:
            self.casts[value, wanted] = self.op("cast", x=value, dtype=wanted)
        return self.casts[value, wanted]

    def reshape(self, x: Var, shape: Sequence[int]) -> Var:
        return x if tuple(x.shape) == tuple(shape) else self.op("reshape", x=x, shape=[int(size) for size in shape])

    def permute(self, x: Var, order: Sequence[int]) -> Var:
        return self.op("transpose", x=x, perm=list(order))

    def slice(self, x: Var, axis: int, begin: int, end: int, step: int = 1, squeeze: bool = False) -> Var:
        """`end - begin` indices of one axis, or with `squeeze` the one at `begin` without its axis."""
        if (begin, end, step) == (0, x.shape[axis], 1) and not squeeze:
            return x
        begins, ends, steps = [0] * x.rank, list(x.shape), [1] * x.rank
        begins[axis], ends[axis], steps[axis] = begin, end, step
        options: dict[str, Any] = {"stride": steps} if step != 1 else {}
        if squeeze:
            options["squeeze_mask"] = [place == axis for place in range(x.rank)]
        return self.op("slice_by_index", x=x, begin=begins, end=ends, **options)

    def pad(self, x: Var, pads: Sequence[tuple[int, int]], filler: float = 0.0) -> Var:
        """Zeros (or `filler`) around. MIL pads real numbers alone."""
        if not any(map(any, pads)):
            return x
        first = next(axis for axis, pair in enumerate(pads) if any(pair))
        flat = [size for pair in pads[first:] for size in pair]
        kind = types.builtin_to_string(x.dtype)
        if kind not in ("fp16", "fp32"):
            padded = self.op("pad", x=self.cast(x, "fp32"), pad=flat, constant_val=np.float32(filler))
            return self.cast(padded, kind)
        return self.op("pad", x=x, pad=flat, mode="constant", constant_val=NUMPY[kind](filler))

    def store(self, weight: Weight, wanted: str, bits: int = 8) -> Var:
        try:
            return self.constants.store(weight, wanted, bits)
        except OverflowError as error:
            raise self.refuse(str(error)) from error

    def constant(self, array: Array) -> Var:
        return self.constants.put(array)

    # What the program's loop calls.

    def placeholders(self) -> dict[str, Any]:
        """The inputs as a function declares them: real numbers are float32 there, whatever computes on them."""
        placeholders = [node for node in self.program.graph.nodes if node.op == "placeholder"]
        inputs = [node for node in placeholders if not is_weight(self.program, node)]
        places = {}
        for node, spec in zip(inputs, self.program.inputs, strict=True):
            self.node = node
            kind = types.string_to_builtin(self.type_of(node.meta["val"].dtype))
            places[spec.name] = mb.placeholder([int(size) for size in self.shape], kind)
        return places

    def input(self, node: fx.Node, spec: TensorSpec) -> Var:
        return self.parameters[spec.name]

    def lower(self, node: fx.Node, lowering: Lowering) -> Any:
        """Runs the lowering of `node` in what the plan says that it computes in."""
        half = self.program.plan.computes_in_half(node.name)
        self.real = "fp16" if half and all(map(fits_half, numbers_in(node, call_arguments(node)))) else "fp32"
        rank = max((each.dim() for each in tensors_of(node)), default=0)
        if rank > MAX_RANK:
            raise self.refuse(f"a tensor of {rank} axes; Core ML has {MAX_RANK} at most")
        value = super().lower(node, lowering)
        if isinstance(value, Var) and value.name.startswith(f"{self.base}__"):
            value.op.name = value.name = self.base
        return value

    def output(self, node: fx.Node, spec: TensorSpec) -> Var:
        """A value of its own, in float32."""
        self.real = "fp32"
        value = self.operand(node)
        inside = value.op is not None and value.op.op_type != "const"
        if inside and len(value.op.outputs) == 1 and not value.child_ops and value not in self.outputs.values():
            value.op.name = value.name = spec.name
            return value
        return self.op("identity", x=value, name=spec.name)

    def name(self) -> str:
        """A new name for something that the current node needs."""
        self.made[self.base] += 1
        return f"{self.base}__{self.made[self.base]}"

    @property
    def base(self) -> str:
        """The current node's own name in the package, made of characters that MIL takes."""
        where = re.sub(r"\W", "_", self.origin)
        return f"{where}__{self.node.name}"


def tensors_of(node: fx.Node) -> list[Tensor]:
    value = node.meta["val"]
    return [each for each in (value if isinstance(value, list | tuple) else [value]) if isinstance(each, Tensor)]


def numbers_in(node: fx.Node, arguments: Sequence[object]) -> Iterator[float]:
    """The numbers that a call computes with: those of its arguments that are not sizes, axes or indices."""
    if isinstance(node.target, torch._ops.OpOverload):
        for argument, value in zip(node.target._schema.arguments, arguments, strict=True):
            if isinstance(value, int | float) and not any(kind in str(argument.type) for kind in ("int", "bool")):
                yield value


def fits_half(number: float) -> bool:
    """Whether float16 holds a number without making it zero or infinite, so that a node with it may compute in it."""
    return not number or not math.isfinite(number) or SMALLEST_HALF <= abs(number) <= LARGEST_HALF
