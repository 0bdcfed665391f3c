"""Exported MLX functions (`.mlxfn`) as data: read, checked, and written so that equal functions are equal bytes.

What MLX writes is little-endian and without alignment: a version, the number of functions, whether shapes are free, a
text of the exporter's own; then for each function the names, types and ids of its inputs, the ids of its outputs, and
its operations in order (mlx/export.cpp, as of 0.32). It has two properties that would hurt:

- An id is the address that an array had in the memory of the exporting process, so no two exports are equal. Here ids
  are numbers in order of appearance.
- Every operation names the stream, and so the kind of device, that it was traced on. A function exported on Linux would
  run on the CPU of a Mac for ever. Here all name one stream of the kind that is asked for.

MLX's own reader trusts sizes and indices; files from others go through this one first, which knows only the operations
that voxc emits, none of which carries code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from voxc.compiler.core.errors import BundleError

Device = Literal["cpu", "gpu"]
DEVICES: Mapping[Device, int] = {"cpu": 0, "gpu": 1}
#: The number of the one stream. MLX takes any stream of the same device for one that it does not have; this number
#: makes the place findable for who has no parser (`device/agent/runtimes/mlx.py`).
STREAM = int.from_bytes(b"voxc", "little")

#: In the order of MLX's own numbers, with the bytes of an element.
DTYPES = (
    ("bool", 1), ("uint8", 1), ("uint16", 2), ("uint32", 4), ("uint64", 8), ("int8", 1), ("int16", 2), ("int32", 4),
    ("int64", 8), ("float16", 2), ("float32", 4), ("float64", 8), ("bfloat16", 2), ("complex64", 8),
)  # fmt: skip

#: The operations that voxc's functions consist of, with what MLX stores beside their inputs: int, ints, bool, float,
#: dtype.
PRIMITIVES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("Abs", "Add", "Ceil", "Copy", "Cos", "Divide", "Erf", "Exp", "Floor", "Full", "Greater", "GreaterEqual",
         "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "Matmul", "Maximum", "Minimum", "Multiply",
         "Negative", "NotEqual", "Power", "Remainder", "Round", "Select", "Sigmoid", "Sign", "Sin", "Square",
         "Subtract", "Tanh"), ()
    ),
    **dict.fromkeys(("BitwiseBinary", "Concatenate", "ArgSort", "GatherAxis", "Log"), ("int",)),
    **dict.fromkeys(("Broadcast", "ExpandDims", "Reshape", "Squeeze", "Transpose"), ("ints",)),
    **dict.fromkeys(("Equal", "Softmax", "Sqrt"), ("bool",)),
    "AddMM": ("float", "float"),
    "AsType": ("dtype",),
    "Convolution": ("ints", "ints", "ints", "ints", "ints", "int", "bool"),
    "Flatten": ("int", "int"),
    "Gather": ("ints", "ints"),
    "Pad": ("ints", "ints", "ints"),
    "QuantizedMatmul": ("int", "int", "int", "bool"),
    "Reduce": ("int", "ints"),
    "Scan": ("int", "int", "bool", "bool"),
    "Slice": ("ints", "ints", "ints"),
    "Split": ("ints", "int"),
    "Unflatten": ("int", "ints"),
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """What the file says about an array."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return prod(self.shape) * dict(DTYPES)[self.dtype]


@dataclass(frozen=True)
class Operation:
    """One primitive: its name, what MLX stores beside its inputs, and the numbers of its inputs and results."""

    name: str
    state: tuple[Any, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass
class Function:
    """A whole file. `tensors` are by number; `constants` are those of them that the file holds the values of."""

    metadata: str = ""
    names: tuple[str, ...] = ()
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    tensors: dict[int, Tensor] = field(default_factory=dict)
    constants: dict[int, bytes] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)


class Cursor:
    """Reads the file, and writes it anew as it goes: with numbers for ids, and with one stream."""

    def __init__(self, content: bytes, device: Device) -> None:
        self.content = content
        self.stream = struct.pack("<3i", STREAM, DEVICES[device], 0)
        self.place = 0
        self.parts: list[bytes] = []
        self.numbers: dict[int, int] = {}

    def take(self, size: int) -> bytes:
        if size > len(self.content) - self.place:
            raise ValueError(f"ends within {size} bytes at {self.place}")
        self.place += size
        part = self.content[self.place - size : self.place]
        self.parts.append(part)
        return part

    def unpack(self, form: str) -> Any:
        (value,) = struct.unpack(f"<{form}", self.take(struct.calcsize(form)))
        return value

    def count(self, least: int) -> int:
        """A number of things that take `least` bytes each."""
        number = self.unpack("Q")
        if number * least > len(self.content) - self.place:
            raise ValueError(f"announces {number} things at {self.place}, more than it has room for")
        return number

    def text(self) -> str:
        return self.take(self.count(1)).decode()

    def integer(self) -> int:
        return self.unpack("i")

    def integers(self) -> tuple[int, ...]:
        return tuple(self.unpack("i") for _ in range(self.count(4)))

    def flag(self) -> bool:
        value = self.unpack("B")
        if value > 1:
            raise ValueError(f"{value} at {self.place} is no truth value")
        return bool(value)

    def dtype(self) -> str:
        number, size = self.unpack("i"), self.unpack("B")
        if not 0 <= number < len(DTYPES) or DTYPES[number][1] != size:
            raise ValueError(f"type {number} of {size} bytes at {self.place}")
        return DTYPES[number][0]

    def tensor(self) -> Tensor:
        shape = self.integers()
        if any(size < 0 for size in shape):
            raise ValueError(f"negative size at {self.place}")
        return Tensor(shape, self.dtype())

    def number(self) -> int:
        """An id, as the number of its first appearance."""
        found = self.unpack("Q")
        number = self.numbers.setdefault(found, len(self.numbers) + 1)
        self.parts[-1] = struct.pack("<Q", number)
        return number

    def many(self, read: Callable[[], Any], least: int) -> tuple[Any, ...]:
        return tuple(read() for _ in range(self.count(least)))

    def skip_stream(self) -> None:
        self.take(len(self.stream))
        self.parts[-1] = self.stream


def read(content: bytes, device: Device = "gpu") -> tuple[Function, bytes]:
    """The function in a file, and the file as it is on `device`.

    Raises:
        BundleError: it is none, or has something in it that voxc does not write.
    """
    cursor = Cursor(content, device)
    try:
        function = read_function(cursor)
    except (ValueError, UnicodeDecodeError, KeyError) as error:
        raise BundleError(f"not a function that voxc has exported: {error}") from error
    return function, b"".join(cursor.parts)


def read_function(cursor: Cursor) -> Function:
    cursor.text()  # MLX's version
    count, free = cursor.integer(), cursor.flag()
    if count != 1 or free:
        raise ValueError(f"{count} functions{', of free shapes' if free else ''}")
    function = Function(cursor.text(), cursor.many(cursor.text, 8))
    function.inputs = cursor.many(cursor.number, 8)
    given = cursor.many(cursor.tensor, 13)
    if len(given) != len(function.inputs) or len(given) != len(function.names):
        raise ValueError(f"{len(given)} inputs with {len(function.inputs)} ids and {len(function.names)} names")
    function.tensors.update(zip(function.inputs, given, strict=True))
    function.outputs = cursor.many(cursor.number, 8)
    for _ in range(cursor.count(10)):
        read_entry(cursor, function)
    for output in function.outputs:
        known(function, output)
    if cursor.place != len(cursor.content):
        raise ValueError(f"{len(cursor.content) - cursor.place} bytes behind its end")
    return function


def read_entry(cursor: Cursor, function: Function) -> None:
    """An operation, a constant, or the mention of an input."""
    number = cursor.number()
    if cursor.flag():
        inputs = cursor.many(cursor.number, 8)
        for each in inputs:
            known(function, each)
        cursor.skip_stream()
        name = cursor.text()
        if name not in PRIMITIVES:
            raise ValueError(f"operation {name!r}, which voxc does not emit")
        state = tuple(STATES[kind](cursor) for kind in PRIMITIVES[name])
        outputs = read_results(cursor, function, number)
        function.operations.append(Operation(name, state, inputs, outputs))
    elif cursor.flag():
        function.tensors[number] = tensor = cursor.tensor()
        function.constants[number] = cursor.take(tensor.bytes)
    else:
        known(function, number)


def read_results(cursor: Cursor, function: Function, number: int) -> tuple[int, ...]:
    if not cursor.count(0):
        function.tensors[number] = cursor.tensor()
        return (number,)
    outputs = cursor.many(cursor.number, 8)
    shapes, dtypes = cursor.many(cursor.integers, 8), cursor.many(cursor.dtype, 5)
    for output, shape, dtype in zip(outputs, shapes, dtypes, strict=True):
        function.tensors[output] = Tensor(shape, dtype)
    known(function, number)
    return outputs


def known(function: Function, number: int) -> None:
    if number not in function.tensors:
        raise ValueError(f"uses array {number} before it is there")


STATES: Mapping[str, Callable[[Cursor], Any]] = {
    "int": Cursor.integer,
    "ints": Cursor.integers,
    "bool": Cursor.flag,
    "float": lambda cursor: cursor.unpack("f"),
    "dtype": Cursor.dtype,
}
