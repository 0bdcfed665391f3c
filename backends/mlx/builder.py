"""Builds a list of MLX operations from the nodes of an exported program, one value at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from voxc.backends.lowering.static import StaticBuilder
from voxc.backends.lowering.weight import Weight
from voxc.backends.mlx.statements import INDEX, Call, Dtype, Statement, Value
from voxc.backends.mlx.weights import Packed, WeightStore
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import TensorSpec

FLOATS = ("float16", "float32")
#: Bits of the weights of a node, by its precision.
BITS = {"w8": 8, "int4": 4}


class MlxBuilder(StaticBuilder[Value]):
    """Statements under construction.

    Each node computes in what the plan says; where a float32 value meets a float16 node, or the other way round, a cast
    is written, once for each value.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program, "MLX")
        inputs = [spec.name for spec in program.inputs]
        self.plan = program.plan
        self.statements: list[Statement] = []
        self.weights = WeightStore(taken=set(inputs))
        self.casts: dict[tuple[Value, str], Value] = {}
        self.numbers: Counter[str] = Counter()
        self.taken = {*inputs, "w", "mx", "self"}

    # What the program's loop calls.

    def input(self, node: fx.Node, spec: TensorSpec) -> Value:
        return Value(spec.name, self.shape, spec.dtype)

    def output(self, node: fx.Node, spec: TensorSpec) -> Value:
        return self.value(node, spec.dtype)

    # What a lowering reads.

    @property
    def dtype(self) -> str:
        """The type that the node gives: what the plan says where it is a float, else its own."""
        own = dtype_of(self.node)
        return self.real if own in FLOATS else own

    @property
    def real(self) -> str:
        """What the node computes in where it computes with floats."""
        return "float32" if self.plan.precision(self.node.name) == "fp32" else "float16"

    @property
    def bits(self) -> int | None:
        """The bits that the node's weights are stored in; None for those of its float type."""
        return BITS.get(self.plan.precision(self.node.name))

    def value(self, node: fx.Node, dtype: str | None = None) -> Value:
        """A node's value, a float one in the type that the present node computes in, or all in `dtype`."""
        found = self.values[node]
        if isinstance(found, Weight):
            return self.store(found, dtype)
        assert isinstance(found, Value), f"{node} has several outputs"
        wanted = dtype or (self.real if found.dtype in FLOATS else found.dtype)
        return self.cast(found, wanted)

    def operand(self, value: object, dtype: str | None = None) -> Value | float:
        """A tensor operand, or a number, which takes the type of what it meets."""
        return self.value(value, dtype) if isinstance(value, fx.Node) else value  # type: ignore[return-value]

    # What a lowering writes.

    def store(self, weight: Weight, dtype: str | None = None) -> Value:
        """The weight in the file as it is now; floats in the type that the present node computes in."""
        wanted = dtype or (self.real if weight.array.dtype.name in FLOATS else weight.array.dtype.name)
        return self.weights.add(weight.name, weight.array.astype(wanted))

    def pack(self, weight: Weight) -> Packed | None:
        """The weight in the plan's few bits, in groups along its last axis; None where it stays as it is."""
        if self.bits is None:
            return None
        return self.weights.pack(weight.name, weight.array.astype(np.float32), self.bits, self.real)

    def call(
        self, function: str, *arguments: Any, shape: Sequence[int] | None = None, dtype: str | None = None,
        stem: str | None = None, **options: Any,
    ) -> Value:  # fmt: skip
        """Adds an operation and gives its result, of the shape and type of the node unless something else is said."""
        return self.result(Call(function, arguments, options), shape, dtype, stem)

    def result(
        self, call: Call, shape: Sequence[int] | None = None, dtype: str | None = None, stem: str | None = None
    ) -> Value:
        """The same for a call that is there already."""
        whole = self.shape if shape is None else tuple(shape)
        return self.state(call, [(whole, dtype or self.dtype)], stem)[0]

    def state(
        self, call: Call, results: Sequence[tuple[tuple[int, ...], str]], stem: str | None = None
    ) -> tuple[Value, ...]:
        """Adds an operation whose results have these shapes and types."""
        values = tuple(Value(self.fresh(stem), shape, dtype) for shape, dtype in results)
        self.statements.append(Statement(values, call, self.path))
        return values

    def cast(self, value: Value, dtype: str) -> Value:
        if value.dtype == dtype:
            return value
        if (value, dtype) not in self.casts:
            call = Call(".astype", (value, Dtype(dtype)))
            (self.casts[value, dtype],) = self.state(call, [(value.shape, dtype)], stem=f"as_{dtype}")
        return self.casts[value, dtype]

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        shape = tuple(shape)
        return x if x.shape == shape else self.call("mx.reshape", x, shape, shape=shape, dtype=x.dtype)

    def permute(self, x: Value, order: Sequence[int]) -> Value:
        shape = [x.shape[axis] for axis in order]
        return self.call("mx.transpose", x, tuple(order), shape=shape, dtype=x.dtype)

    def slice(self, x: Value, axis: int, part: slice) -> Value:
        """A part of one axis; the axes behind it need not be written."""
        shape = list(x.shape)
        axis %= len(shape)
        shape[axis] = len(range(*part.indices(shape[axis])))
        if tuple(shape) == x.shape and part.step in (None, 1):
            return x
        return self.call(INDEX, x, *[slice(None)] * axis, part, shape=shape, dtype=x.dtype)

    def pad(self, x: Value, widths: Sequence[tuple[int, int]], filler: float = 0.0) -> Value:
        if not any(map(any, widths)):
            return x
        shape = [size + sum(width) for size, width in zip(x.shape, widths, strict=True)]
        options: dict[str, Any] = {"constant_values": filler} if filler else {}
        return self.call("mx.pad", x, list(widths), shape=shape, dtype=x.dtype, **options)

    # Names.

    def fresh(self, stem: str | None) -> str:
        """A name that no other value has, as `conv_12`."""
        stem = stem or self.stem
        while True:
            self.numbers[stem] += 1
            name = f"{stem}_{self.numbers[stem]}"
            if name not in self.taken:
                self.taken.add(name)
                return name

    @property
    def stem(self) -> str:
        """What the present node's operator is called for short."""
        target = self.node.target
        name = target._schema.name.split("::")[1] if isinstance(target, torch._ops.OpOverload) else "part"
        return re.sub(r"^(native_|constant_|_)|(_nd|_channels_last|_with_sizes|olution)$", "", name).strip("_")

    @property
    def path(self) -> str:
        return module_path(self.node)


def dtype_of(node: fx.Node) -> str:
    value = node.meta["val"]
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else "float32"
