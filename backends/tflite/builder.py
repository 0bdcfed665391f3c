"""Builds a TFLite graph from the nodes of an exported program, one value at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.static import StaticBuilder
from voxc.backends.lowering.table import Lowering
from voxc.backends.lowering.weight import Weight
from voxc.backends.tflite.file import DTYPES, Quantization, TfliteFile, Value
from voxc.backends.tflite.integers import InIntegers
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import TensorSpec

#: The largest magnitude of a symmetric int8.
MOST_INT8 = 127


class TfliteBuilder(StaticBuilder[Value]):
    """A TFLite graph under construction.

    A node of float32 whose value is of int8 is there as integers, and becomes float32 only where that is asked for.
    Values are named after the module path in the user's model and the FX node.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program, "TFLite")
        self.file = TfliteFile(program.name)
        self.floats: dict[Value, Value] = {}
        #: What the node's result is quantized to, if it is computed in integers.
        self.result: Quantization | None = None

    # What a lowering reads.

    def value(self, node: fx.Node) -> Value:
        """A node's value as it is, integers in place of float32 included."""
        value = self.values[node]
        if isinstance(value, Weight):
            value = self.store(value)
        assert isinstance(value, Value), f"{node} has several outputs"
        return value

    def real(self, node: fx.Node) -> Value:
        """A node's value as what its type in the graph says."""
        return self.as_float(self.value(node))

    def operand(self, value: object, dtype: torch.dtype | None = None) -> Value:
        """A tensor operand, or a number, in `dtype`; integers where the result is computed in integers."""
        if not isinstance(value, fx.Node):
            return self.number(value, dtype or torch.float32)  # type: ignore[arg-type]
        found = self.value(value) if self.result is not None else self.real(value)
        if dtype is not None and found.quantization is None and found.dtype != name_of(dtype):
            return self.op("CAST", found, shape=found.shape, dtype=name_of(dtype))
        return found

    def number(self, value: float, dtype: torch.dtype) -> Value:
        """A number that broadcasts; in the integer computation exactly representable, as the largest integer."""
        if self.result is None:
            return self.file.constant(np.array(value, name_of(dtype)))
        integer = np.array(int(math.copysign(MOST_INT8, value)) if value else 0, np.int8)
        return self.file.constant(integer, quantization=Quantization((abs(value) / MOST_INT8 or 1.0,)))

    def integers(self, sizes: Sequence[int]) -> Value:
        """A one-dimensional int32 constant."""
        return self.file.constant(np.array(sizes, np.int32))

    # What a lowering writes.

    def op(
        self, code: str, *inputs: Value | None, shape: Sequence[int] | None = None, dtype: str | None = None,
        like: Value | None = None, quantization: Quantization | None = None, **options: Any,
    ) -> Value:  # fmt: skip
        """Adds an operator and gives its result.

        It has the shape and type of the node unless something else is said; `like` names a value with the same type
        and quantization.
        """
        if like is not None:
            dtype, quantization = like.dtype, like.quantization
        elif dtype is None and (quantization or self.result):
            dtype, quantization = "int8", quantization or self.result
        result = self.file.tensor(
            f"{self.origin}/{self.node.name}/{len(self.file.tensors)}",
            self.shape if shape is None else shape,
            dtype or name_of(self.node.meta["val"].dtype),
            quantization,
        )
        self.file.operator(code, inputs, [result], **options)
        return result

    def several(self, code: str, *inputs: Value, outputs: Sequence[tuple[Sequence[int], str]]) -> list[Value]:
        """Adds an operator with several outputs, each given as its shape and type."""
        results = [
            self.file.tensor(f"{self.origin}/{len(self.file.tensors) + place}", shape, dtype)
            for place, (shape, dtype) in enumerate(outputs)
        ]
        self.file.operator(code, inputs, results)
        return results

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        shape = tuple(shape)
        return (
            x if x.shape == shape else self.op("RESHAPE", x, self.integers(shape), shape=shape, like=x, newShape=shape)
        )

    def permute(self, x: Value, order: Sequence[int]) -> Value:
        shape = [x.shape[axis] for axis in order]
        return self.op("TRANSPOSE", x, self.integers(order), shape=shape, like=x)

    def slice(self, x: Value, begin: Sequence[int], shape: Sequence[int]) -> Value:
        if x.shape == tuple(shape):
            return x
        return self.op("SLICE", x, self.integers(begin), self.integers(shape), shape=shape, like=x)

    def pad(self, x: Value, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Value:
        """Zeros (or `value`) around; where x holds integers, the one that stands for it."""
        if not any(map(any, pads)):
            return x
        shape = [size + before + after for size, (before, after) in zip(x.shape, pads, strict=True)]
        table = self.file.constant(np.array(pads, np.int32))
        if not value:
            return self.op("PAD", x, table, shape=shape, like=x)
        filler = self.file.constant(np.array(value, x.dtype))
        return self.op("PADV2", x, table, filler, shape=shape, like=x)

    def as_float(self, value: Value) -> Value:
        """float32 in place of integers or float16; once for each value."""
        if value.quantization is None and value.dtype != "float16":
            return value
        if value not in self.floats:
            self.floats[value] = self.op("DEQUANTIZE", value, shape=value.shape, dtype="float32")
        return self.floats[value]

    def requantize(self, value: Value, quantization: Quantization) -> Value:
        """Integers of this quantization."""
        if value.quantization == quantization:
            return value
        return self.op("QUANTIZE", value, shape=value.shape, dtype="int8", quantization=quantization)

    def store(self, weight: Weight) -> Value:
        """The weight in the file as it is now."""
        if weight.array.dtype.name not in DTYPES:
            raise self.refuse(f"{weight.name} is of {weight.array.dtype}")
        quantization = None if weight.scale is None else Quantization(tuple(weight.scale.tolist()), axis=weight.axis)
        return self.file.constant(weight.array, weight.name, quantization)

    # What a program's loop calls.

    def input(self, node: fx.Node, spec: TensorSpec) -> Value:
        return self.file.tensor(spec.name, self.shape, spec.dtype)

    def lower(self, node: fx.Node, lowering: Lowering) -> Any:
        """Runs the lowering of `node` and names its result after the node."""
        self.result = self.result_integers(node, lowering.weights) if isinstance(lowering, InIntegers) else None
        first = len(self.file.tensors)
        result = super().lower(node, lowering)
        self.result = None
        if isinstance(result, Value) and result.index >= first and not result.constant:
            self.file.rename(result, f"{self.origin}/{node.name}")
        return result

    def output(self, node: fx.Node, spec: TensorSpec) -> Value:
        """A tensor of its own, also where the value is an input, a constant or another output."""
        value = self.real(node)
        if value.constant or value in (*self.inputs.values(), *self.outputs.values()):
            value = self.op("RESHAPE", value, self.integers(value.shape), like=value, newShape=value.shape)
        self.file.rename(value, spec.name)
        return value

    def result_integers(self, node: fx.Node, weights: bool) -> Quantization | None:
        """The quantization that all users of a node want, if its operands are integers too."""
        wanted = {user.args[1:] if user.target is torch.ops.voxc.quantize.default else None for user in node.users}
        if len(wanted) != 1 or None in wanted:
            return None
        if not all(self.is_integer(source, weights) for source in node.all_input_nodes):
            return None
        ((scale, zero_point, _),) = wanted  # type: ignore[misc]
        return Quantization((scale,), zero_point)  # type: ignore[arg-type]

    def is_integer(self, node: fx.Node, weights: bool) -> bool:
        """Whether a node's value is integers that stand for real numbers, or a weight or bias that can go with them."""
        value = self.values[node]
        if isinstance(value, Weight):
            return weights and (value.scale is not None or len(value.shape) == 1)
        return isinstance(value, Value) and value.quantization is not None


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
