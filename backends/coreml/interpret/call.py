"""An operation at the moment in which it runs: its arguments as tensors, and what its results must be.

Numbers of type float16 are held as float32 that have been rounded to float16, so that kernels accumulate in float32;
the interpreter rounds every result that the program calls float16. Truth values are bool. Integers are held in a type
of their own size; uint16 in int32 and uint32 in int64, since torch has little for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voxc.backends.coreml.mil import Operation, TensorType
from voxc.compiler.core.errors import BundleError, UnsupportedError


@dataclass(frozen=True)
class TensorList:
    """A list of tensors; None where nothing has been written."""

    elements: tuple[Tensor | None, ...]


#: A text, as `"same"`, is held as itself.
Value = Tensor | TensorList | str
Result = Tensor | TensorList | Sequence[Tensor]

#: What holds the elements of each type.
HELD = {
    "bool": torch.bool, "float16": torch.float32, "bfloat16": torch.float32, "float32": torch.float32,
    "float64": torch.float64, "int8": torch.int8, "int16": torch.int16, "int32": torch.int32, "int64": torch.int64,
    "uint8": torch.uint8, "uint16": torch.int32, "uint32": torch.int64, "uint64": torch.int64, "int4": torch.int8,
    "uint1": torch.uint8, "uint2": torch.uint8, "uint3": torch.uint8, "uint4": torch.uint8, "uint6": torch.uint8,
}  # fmt: skip
#: Types by the names that `cast` and its kind take.
NAMES = {"fp16": "float16", "fp32": "float32", "fp64": "float64"}
#: A tensor of a GiB; the largest in a voice's network has some 10 MiB.
MAX_ELEMENTS = 1 << 28


@dataclass(frozen=True)
class Call:
    """One operation with its values by parameter."""

    operation: Operation
    values: Mapping[str, tuple[Value, ...]]

    def has(self, name: str) -> bool:
        return bool(self.values.get(name))

    def tensors(self, name: str) -> list[Tensor]:
        """The tensors of a parameter that takes a list."""
        return [self.checked(value, name) for value in self.values.get(name, ())]

    def tensor(self, name: str) -> Tensor:
        """The one tensor of a parameter that must be there."""
        values = self.values.get(name, ())
        if len(values) != 1:
            raise self.wrong(f"{name} has {len(values)} values instead of one")
        return self.checked(values[0], name)

    def optional(self, name: str) -> Tensor | None:
        return self.tensor(name) if self.has(name) else None

    def checked(self, value: Value, name: str) -> Tensor:
        if not isinstance(value, Tensor):
            raise self.wrong(f"{name} is a {'text' if isinstance(value, str) else 'list'}")
        return value

    def elements(self, name: str) -> tuple[Tensor | None, ...]:
        """The elements of a list of tensors."""
        values = self.values.get(name, ())
        if len(values) != 1 or not isinstance(values[0], TensorList):
            raise self.wrong(f"{name} is not a list")
        return values[0].elements

    def ints(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A list of integers, as a shape."""
        if default is not None and not self.has(name):
            return list(default)
        tensor = self.tensor(name)
        if tensor.is_floating_point():
            raise self.wrong(f"{name} is not a list of integers")
        return [int(value) for value in tensor.reshape(-1).tolist()]

    def flags(self, name: str, count: int) -> list[bool]:
        """A list of `count` truth values, False if not given."""
        flags = [bool(value) for value in self.ints(name, [0] * count)]
        if len(flags) != count:
            raise self.wrong(f"{name} has {len(flags)} values instead of {count}")
        return flags

    def integer(self, name: str, default: int | None = None) -> int:
        if default is not None and not self.has(name):
            return default
        values = self.ints(name)
        if len(values) != 1:
            raise self.wrong(f"{name} has {len(values)} values instead of one")
        return values[0]

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.integer(name, int(default)))

    def number(self, name: str, default: float | None = None) -> float:
        if default is not None and not self.has(name):
            return default
        tensor = self.tensor(name)
        if tensor.numel() != 1:
            raise self.wrong(f"{name} has {tensor.numel()} values instead of one")
        return float(tensor.item())

    def text(self, name: str, default: str | None = None) -> str:
        if default is not None and not self.has(name):
            return default
        values = self.values.get(name, ())
        if len(values) != 1 or not isinstance(values[0], str):
            raise self.wrong(f"{name} is not a text")
        return values[0]

    def axis(self, name: str, rank: int, default: int | None = None) -> int:
        """An axis of a tensor of `rank`, counted from the front."""
        return self.axis_of(self.integer(name, default), rank)

    def axes(self, name: str, rank: int) -> list[int]:
        """Axes of a tensor of `rank`, counted from the front; all of them if none are given."""
        return [self.axis_of(axis, rank) for axis in self.ints(name, range(rank))]

    def axis_of(self, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            raise self.wrong(f"axis {axis} of a tensor of rank {rank}")
        return axis % rank

    def result(self, place: int = 0) -> TensorType:
        """The type that the program gives one of the results."""
        if place >= len(self.operation.outputs):
            raise self.wrong(f"{len(self.operation.outputs)} results instead of {place + 1} or more")
        return self.operation.outputs[place].type

    def held(self, place: int = 0) -> torch.dtype:
        """The type of torch that holds one of the results."""
        dtype = self.result(place).dtype
        if dtype not in HELD:
            raise self.wrong(f"gives {dtype} values")
        return HELD[dtype]

    def bounded(self, shape: Sequence[int]) -> list[int]:
        """`shape`, unless no honest tensor is as large."""
        count = 1
        for size in shape:
            if size < 0:
                raise self.wrong(f"a tensor of shape {list(shape)}")
            count *= size
        if count > MAX_ELEMENTS:
            raise self.wrong(f"a tensor of shape {list(shape)} is larger than {MAX_ELEMENTS} elements")
        return list(shape)

    def wrong(self, reason: str) -> BundleError:
        """What to raise where the program contradicts itself."""
        return BundleError(f"{self.operation.type} {self.operation.name}: {reason}")

    def unsupported(self, reason: str) -> UnsupportedError:
        """What to raise where the program may be right, but this does not evaluate it."""
        return UnsupportedError(f"{self.operation.type} {self.operation.name}: {reason}")


Kernel = Callable[[Call], Result]
Lowerings = dict[str, Kernel]
