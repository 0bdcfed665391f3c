"""A pickle machine that calls nothing: it puts plain values together, and asks `objects` for the rest.

The operators are those of Python's pickle, protocols 0 to 5, as `pickletools` describes them.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import IO, Any

from torch import Tensor

from voxc.compiler.torch_file.objects import Foreign, Named, RefusedError, checked_key, construct, set_state

#: Longer pickles are not of checkpoints. They bound what their objects can take.
MAX_BYTES = 256 << 20
MAX_STEPS = 5_000_000

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
#: Operators that push their argument.
LITERALS = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
        "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
        "BINBYTES8", "BYTEARRAY8",
    }
)  # fmt: skip
GET, PUT = frozenset({"GET", "BINGET", "LONG_BINGET"}), frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class Bounded:
    """A stream of bytes that ends after `limit` of them."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.left = stream, limit

    def read(self, size: int) -> bytes:
        return self.count(self.stream.read(min(size, self.left)))

    def readline(self) -> bytes:
        return self.count(self.stream.readline(self.left))

    def count(self, content: bytes) -> bytes:
        self.left -= len(content)
        return content


class Machine:
    """Runs one pickle. `storage` gives what a persistent identifier stands for. Tensors may overlap, and have more
    elements than the file holds, but no more than `elements` in all: whoever copies them needs memory for each."""

    def __init__(self, storage: Callable[[Any], Any], elements: int) -> None:
        self.storage, self.elements = storage, elements
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> Any:
        """The object of the pickle at the place of `stream`, which is left after it.

        Raises:
            RefusedError: it asks for what is not done.
            ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError: it is damaged.
        """
        for step, (operator, argument, _) in enumerate(pickletools.genops(Bounded(stream, MAX_BYTES))):  # type: ignore[arg-type]
            if step > MAX_STEPS:
                raise ValueError("too many objects")
            name = operator.name
            if name == "STOP":
                return self.stack.pop()
            if name in LITERALS:
                self.stack.append(argument)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name in GET:
                self.stack.append(self.memo[number_of(argument)])
            elif name in PUT:
                self.memo[number_of(argument)] = self.stack[-1]
            else:
                OPERATORS[name](self, argument)
        raise ValueError("no end")

    def pop_mark(self) -> list[Any]:
        """What is above the last mark."""
        above, self.stack = self.stack, self.outer.pop()
        return above

    def take(self, count: int) -> tuple[Any, ...]:
        """The topmost values, the lowest of them first."""
        if count > len(self.stack):
            raise IndexError("nothing there")
        taken = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return taken

    def mark(self, _: Any) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Foreign):
            raise TypeError("not a list")

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(zip(map(checked_key, values[::2]), values[1::2], strict=True))
        elif not isinstance(target, Foreign):
            raise TypeError("not a dictionary")

    def add_items(self, values: list[Any]) -> None:
        self.stack[-1].update(map(checked_key, values))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise TypeError("not a call")
        value = construct(function, arguments)
        if isinstance(value, Tensor):
            self.elements -= value.numel()
            if self.elements < 0:
                raise RefusedError("damaged: its tensors claim more elements than the file holds")
        self.stack.append(value)

    def reduce(self, _: Any) -> None:
        self.call(*self.take(2))

    def new_with_keywords(self, _: Any) -> None:
        kind, arguments, keywords = self.take(3)
        self.call(kind, (*arguments, keywords) if keywords else arguments)

    def instance(self, argument: Any) -> None:
        self.call(named(*argument.split(" ", 1)), tuple(self.pop_mark()))

    def object(self, _: Any) -> None:
        kind, *arguments = self.pop_mark()
        self.call(kind, tuple(arguments))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        set_state(self.stack[-1], state)


def named(module: Any, name: Any) -> Named:
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("not a name")
    return Named(module, name)


def number_of(argument: Any) -> int:
    return int(argument)


def discard(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


OPERATORS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": Machine.mark,
    "POP": lambda machine, _: discard(machine),
    "POP_MARK": lambda machine, _: discard_all(machine),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "MEMOIZE": lambda machine, _: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append(set()),
    "LIST": lambda machine, _: push(machine, list(machine.pop_mark())),
    "TUPLE": lambda machine, _: push(machine, tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.take(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.take(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.take(3)),
    "DICT": lambda machine, _: push_dictionary(machine),
    "FROZENSET": lambda machine, _: push(machine, frozenset(map(checked_key, machine.pop_mark()))),
    "APPEND": lambda machine, _: machine.append(list(machine.take(1))),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.take(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.pop_mark()),
    "GLOBAL": lambda machine, argument: machine.stack.append(named(*argument.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.stack.append(named(*machine.take(2))),
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.reduce,
    "NEWOBJ_EX": Machine.new_with_keywords,
    "INST": Machine.instance,
    "OBJ": Machine.object,
    "BUILD": Machine.build,
    "PERSID": lambda machine, argument: machine.stack.append(machine.storage(argument)),
    "BINPERSID": lambda machine, _: machine.stack.append(machine.storage(machine.stack.pop())),
}


def push(machine: Machine, value: Any) -> None:
    machine.stack.append(value)


def push_dictionary(machine: Machine) -> None:
    values = machine.pop_mark()
    machine.stack.append({})
    machine.set_items(values)


def discard_all(machine: Machine) -> None:
    machine.pop_mark()
