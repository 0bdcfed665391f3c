"""One ONNX node as the rows of the table see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.onnx.tensors import read_tensor

#: Elements of any one tensor; a file that asks for more is hostile or for other machines.
MAX_ELEMENTS = 1 << 30

#: What a node computes: from all its inputs in order (None for one left out, or one that the row has read as a
#: constant) to its output, or a tuple of several.
Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Value:
    """What a name stands for. `fake` has its shape and type; `constant` is the tensor where it is known beforehand."""

    name: str
    fake: Tensor
    constant: Tensor | None = None

    def in_float32(self) -> Value:
        """As the network computes with it: floats of other sizes become float32."""
        if self.constant is None or not self.fake.is_floating_point() or self.fake.dtype == torch.float32:
            return self
        return Value(self.name, self.fake.to(torch.float32), self.constant.to(torch.float32))


@dataclass(eq=False)
class Call:
    """A node of the graph with its inputs. A row turns it into a function.

    `opset` is the version of the operator's domain. `read` collects the inputs that a row has read as constants.
    """

    path: Path
    name: str
    op_type: str
    domain: str
    opset: int
    attributes: Mapping[str, Any]
    inputs: tuple[Value | None, ...]
    outputs: int
    read: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    @property
    def operator(self) -> str:
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def refuse(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: node {self.name}: {self.operator} (opset {self.opset}): {reason}")

    # Attributes.

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def required(self, name: str) -> Any:
        if name not in self.attributes:
            raise self.refuse(f"has no attribute {name}")
        return self.attributes[name]

    def tensor_attribute(self, name: str) -> Tensor | None:
        return read_tensor(self.attributes[name], self.path) if name in self.attributes else None

    # Inputs.

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise self.refuse(f"input {index} is missing")
        return value

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return tuple(self.value(index).fake.shape)

    def rank(self, index: int = 0) -> int:
        return self.value(index).fake.dim()

    def dtype(self, index: int = 0) -> torch.dtype:
        return self.value(index).fake.dtype

    def axis(self, axis: int, rank: int | None = None) -> int:
        """An axis of the first input, counted from the front."""
        rank = self.rank() if rank is None else rank
        if not -rank <= axis < max(rank, 1):
            raise self.refuse(f"axis {axis} of a tensor of rank {rank}")
        return axis % rank if rank else 0

    @property
    def folds(self) -> bool:
        """Whether all inputs that the function needs are constants, so that the node is computed once and for all."""
        needed = (value for index, value in enumerate(self.inputs) if index not in self.read)
        return all(value is None or value.constant is not None for value in needed)

    def constant(self, index: int) -> Tensor | None:
        """An input if it is known beforehand; the function gets None in its place."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None or value.constant is None:
            return None
        self.read.add(index)
        return value.constant

    def static(self, index: int, what: str) -> Tensor:
        """An input that has to be known beforehand.

        Raises:
            CheckpointError: it is computed from the network's inputs.
        """
        self.value(index)
        tensor = self.constant(index)
        if tensor is None:
            raise self.refuse(f"its {what} depend on the values of the inputs; only constant ones are supported")
        return tensor

    def integers(self, index: int, what: str) -> list[int]:
        return [int(number) for number in self.static(index, what).reshape(-1).tolist()]

    def axes(self, index: int, first_input_opset: int) -> list[int] | None:
        """Axes, an attribute before `first_input_opset` and an input since; None where there are none."""
        if self.opset < first_input_opset:
            return self.attribute("axes")
        return self.integers(index, "axes") if self.has(index) else None

    def number(self, index: int) -> float | None:
        """An input that is one constant number which broadcasts over the others; None if it is not."""
        value = self.value(index)
        rank = max((other.fake.dim() for other in self.inputs if other is not None and other is not value), default=0)
        if self.folds or value.constant is None or value.constant.numel() != 1 or value.fake.dim() > rank:
            return None
        self.read.add(index)
        return value.constant.item()

    def bounded(self, sizes: Sequence[int]) -> Sequence[int]:
        """The sizes of a result, if memory may hold it."""
        count = 1
        for size in sizes:
            count *= max(1, size)
        if count > MAX_ELEMENTS:
            raise self.refuse(f"asks for {count} elements; at most {MAX_ELEMENTS} are supported")
        return sizes


Row = Callable[[Call], Function]


def plain(function: Function) -> Row:
    """A row without attributes: the function takes the inputs as they are."""
    return lambda call: function
