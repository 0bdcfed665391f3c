"""Builds a TFLite graph from the nodes of an exported program, one value at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from voxc.backends.tflite.file import DTYPES, Quantization, TfliteFile, Value
from voxc.backends.tflite.lowering import Lowering
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.tensor import Array

#: The largest magnitude of a symmetric int8.
MOST_INT8 = 127


@dataclass(frozen=True)
class Weight:
    """A constant that is not in the file yet, so that a lowering may lay it out first.

    `array` is what is stored: float32, indices, float16 in place of float32, or int8 or int32 with a `scale` for each
    index of `axis`.
    """

    name: str
    array: Array
    scale: Array | None = None
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def quantization(self) -> Quantization | None:
        return None if self.scale is None else Quantization(tuple(self.scale.tolist()), axis=self.axis)

    def transpose(self, *order: int) -> Weight:
        order = tuple(axis % len(order) for axis in order)
        return replace(self, array=self.array.transpose(order), axis=order.index(self.axis) if order else 0)

    def expand(self, *axes: int) -> Weight:
        """With new axes of size 1 at these places of the result, in ascending order."""
        weight = self
        for place in axes:
            moved = weight.axis + (place <= weight.axis)
            weight = replace(weight, array=np.expand_dims(weight.array, place), axis=moved)
        return weight


class TfliteBuilder:
    """A TFLite graph under construction.

    A node of float32 whose value is of int8 is there as integers, and becomes float32 only where that is asked for.
    Values are named after the module path in the user's model and the FX node.
    """

    def __init__(self, name: str) -> None:
        self.file = TfliteFile(name)
        self.values: dict[fx.Node, Any] = {}
        self.floats: dict[Value, Value] = {}
        self.node: fx.Node | None = None
        #: What the node's result is quantized to, if it is computed in integers.
        self.result: Quantization | None = None

    # What a lowering reads.

    def constant_of(self, node: object) -> Weight | None:
        """The weight that a node is, if it is one."""
        value = self.values[node] if isinstance(node, fx.Node) else None
        return value if isinstance(value, Weight) else None

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
        assert self.node is not None
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

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        """With fewer operators where only axes of size 1 move."""
        shape = [x.shape[axis] for axis in order]
        if [axis for axis in order if x.shape[axis] > 1] == [axis for axis in range(len(order)) if x.shape[axis] > 1]:
            return self.reshape(x, shape)
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
        return self.file.constant(weight.array, weight.name, weight.quantization)

    # What the emitter calls.

    def lower(self, node: fx.Node, lowering: Lowering) -> None:
        """Runs the lowering of `node` and names its result after the node."""
        self.node = node
        self.result = self.result_integers(node, lowering.weights) if lowering.integers else None
        first = len(self.file.tensors)
        result = lowering.function(self, node, *call_arguments(node))
        self.result = None
        if isinstance(result, Value) and result.index >= first and not result.constant:
            self.file.rename(result, f"{self.origin}/{node.name}")
        self.values[node] = result

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

    @property
    def shape(self) -> tuple[int, ...]:
        """The present node's."""
        assert self.node is not None
        return tuple(self.node.meta["val"].shape)

    @property
    def origin(self) -> str:
        """The module that the present node comes from, or the graph where there is none."""
        assert self.node is not None
        return module_path(self.node) or self.file.name

    def refuse(self, reason: str) -> UnsupportedError:
        assert self.node is not None
        target = self.node.target
        name = str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", "?")
        return UnsupportedError(f"TFLite: {name} in {self.origin} (node {self.node.name}): {reason}")


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def shape_of(node: fx.Node) -> tuple[int, ...]:
    value = node.meta["val"]
    assert isinstance(value, Tensor)
    return tuple(value.shape)
