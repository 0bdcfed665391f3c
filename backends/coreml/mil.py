"""What an ML program is once it has been read: functions, blocks, operations, types and constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from voxc.compiler.core.tensor import Array

#: A dimension that is known only when the program runs.
UNKNOWN = None

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorType:
    """Of one tensor. `dtype` is as in `float16`, `int32`, `uint4`, `bool`, `string`; `shape` is None if even the rank
    is unknown. `kind` is `tensor`, `state` for what a `read_state` reads, or what else the program holds by its name in
    the format (`listType`, `dictionaryType`), which has neither dtype nor shape.
    """

    dtype: str
    shape: Shape | None
    kind: str = "tensor"

    @property
    def count(self) -> int | None:
        """The number of elements, None if it is not known."""
        if self.shape is None or UNKNOWN in self.shape:
            return None
        return math.prod(size for size in self.shape if size is not None)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape` is one of this type."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            size is UNKNOWN or size == given for size, given in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        if self.kind != "tensor":
            return self.kind
        if self.shape is None:
            return f"{self.dtype}[...]"
        return f"{self.dtype}[{', '.join('?' if size is UNKNOWN else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class Constant:
    """A value in the file. `read` gives it as an array of `type`'s shape; integers below a byte come as int8 or uint8,
    bfloat16 as float32. `stored` is the number of bytes that it takes in the weights' file, 0 if it is not in there,
    and `place` the name of that file and where in it it is.
    """

    type: TensorType
    read: Callable[[], Array]
    stored: int = 0
    place: tuple[str, int] | None = None

    @property
    def value(self) -> Array:
        return self.read()


#: What an operation takes: the name of a value, or the value itself.
Argument = str | Constant


@dataclass(frozen=True)
class Named:
    """A value by name."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Operation:
    """One operation. A parameter has several arguments where it takes a list, as `values` of `concat`."""

    type: str
    inputs: Mapping[str, tuple[Argument, ...]]
    outputs: tuple[Named, ...]
    attributes: Mapping[str, Constant]
    blocks: tuple[Block, ...] = ()

    @property
    def name(self) -> str:
        """The name that it is told by: that of its first result."""
        return self.outputs[0].name if self.outputs else self.type

    @property
    def references(self) -> Iterator[str]:
        """The names that it reads, blocks within it left out."""
        for arguments in self.inputs.values():
            for argument in arguments:
                if isinstance(argument, str):
                    yield argument


@dataclass(frozen=True)
class Block:
    """Operations in order, and the names of what they give."""

    inputs: tuple[Named, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Feature:
    """An input or output of a model as the package describes it.

    `shape` is the default one. `shapes` are those it may have, if these are listed; `ranges` the least and the most of
    each dimension (None: no limit), if these are given.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    description: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int | None], ...] = ()
    optional: bool = False

    def takes(self, shape: tuple[int, ...]) -> bool:
        if self.shapes:
            return shape in self.shapes
        if self.ranges:
            return len(shape) == len(self.ranges) and all(
                least <= size and (most is None or size <= most)
                for size, (least, most) in zip(shape, self.ranges, strict=True)
            )
        return shape == self.shape or not self.shape

    @property
    def accepted(self) -> str:
        """The shapes that it takes, for people."""
        if self.shapes:
            return " or ".join(str(list(shape)) for shape in self.shapes)
        if self.ranges:
            told = (str(low) if low == high else f"{low}..{high or ''}" for low, high in self.ranges)
            return f"[{', '.join(told)}]"
        return str(list(self.shape))


@dataclass(frozen=True)
class Function:
    """One function of a program with its block, and how the package describes it from outside."""

    name: str
    opset: str
    arguments: tuple[Named, ...]
    block: Block
    inputs: tuple[Feature, ...] = ()
    outputs: tuple[Feature, ...] = ()
    states: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class MilProgram:
    """A whole package. `metadata` has what people wrote into it: author, license, shortDescription, their own keys."""

    functions: Mapping[str, Function]
    default: str
    version: int
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def main(self) -> Function:
        return self.functions[self.default]
