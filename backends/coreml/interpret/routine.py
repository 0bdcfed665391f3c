"""Blocks of a program made ready to run: kernels looked up, constants read, and values freed after their last use."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import HELD, MAX_ELEMENTS, Call, Kernel, TensorList, Value
from voxc.backends.coreml.interpret.control import CONTROL
from voxc.backends.coreml.interpret.integers import DEQUANTIZERS, Dequantized, on_integers, product
from voxc.backends.coreml.interpret.kernels import EXACT, KERNELS
from voxc.backends.coreml.mil import Argument, Block, Constant, Named, Operation
from voxc.compiler.core.errors import BundleError, UnsupportedError
from voxc.compiler.core.tensor import Array

Values = MutableMapping[str, Value]

#: The beginnings of operations that have their results before the program runs, if their inputs are constants.
FOLDED = ("const", "dequantize")


@dataclass(frozen=True)
class Reference:
    """An argument that is computed while the program runs."""

    name: str


@dataclass(frozen=True)
class Step:
    """One operation that is left to run, its constant arguments in place. `frees` are the values that nothing reads
    afterwards. `kernel` is there if it is not the operation's usual one.
    """

    operation: Operation
    arguments: Mapping[str, tuple[Value | Reference, ...]]
    routines: tuple[Routine, ...] = ()
    frees: tuple[str, ...] = ()
    kernel: Kernel | None = None

    def run(self, values: Values) -> None:
        """Puts the results beside what is in `values`."""
        call = Call(
            self.operation,
            {
                parameter: tuple(values[one.name] if isinstance(one, Reference) else one for one in arguments)
                for parameter, arguments in self.arguments.items()
            },
        )
        results = evaluate(call, self.kernel, self.routines, values)
        for named, result in zip(self.operation.outputs, results, strict=True):
            values[named.name] = result
        for name in self.frees:
            values.pop(name, None)


@dataclass(frozen=True)
class Routine:
    """A block: its inputs, its steps and its results."""

    inputs: tuple[Named, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Value | Reference, ...]

    def run(self, values: Values) -> list[Value]:
        """The block's results; `values` has what it may read, and gets what it computes."""
        for step in self.steps:
            step.run(values)
        return [values[one.name] if isinstance(one, Reference) else one for one in self.outputs]

    def run_within(self, outer: Values, given: Sequence[Value]) -> list[Value]:
        """The same for a block in an operation, whose own values are gone afterwards."""
        if len(given) != len(self.inputs):
            raise BundleError(f"a block gets {len(given)} values for {len(self.inputs)} inputs")
        own = {named.name: value for named, value in zip(self.inputs, given, strict=True)}
        return self.run(ChainMap(own, outer))


def evaluate(call: Call, kernel: Kernel | None, routines: Sequence[Routine], values: Values) -> list[Value]:
    """The results of an operation, rounded to float16 where they are of that type.

    Raises:
        BundleError: its arguments contradict each other, or its results what the program says of them.
    """
    kind = call.operation.type
    try:
        if kind in CONTROL:
            results = list(CONTROL[kind](call, [partial(routine.run_within, values) for routine in routines]))
        else:
            given = (kernel or KERNELS[kind])(call)
            results = [given] if isinstance(given, Tensor | TensorList) else list(given)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise call.wrong(str(error).partition("\n")[0]) from error
    if len(results) != len(call.operation.outputs):
        raise call.wrong(f"{len(results)} results, the program has {len(call.operation.outputs)}")
    return [
        checked(call, named, rounded(value) if named.type.dtype == "float16" and kind not in EXACT else value)
        for named, value in zip(call.operation.outputs, results, strict=True)
    ]


def rounded(value: Value) -> Value:
    """To the nearest number that float16 has, infinity beyond the largest."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return value.to(torch.float16).to(torch.float32)


def checked(call: Call, named: Named, value: Value) -> Value:
    if not isinstance(value, Tensor):
        if isinstance(value, TensorList) and named.type.kind == "listType":
            return value
        raise call.wrong(f"gives no tensor, the program says {named.type}")
    dtype = named.type.dtype
    if value.is_floating_point() and HELD.get(dtype) == torch.float32:
        value = value.to(torch.float32)
    if value.dtype != HELD.get(dtype) or not named.type.fits(tuple(value.shape)):
        raise call.wrong(f"gives {value.dtype} {list(value.shape)}, the program says {named.type}")
    return value


class Preparer:
    """Makes routines. Weights that several functions have in common are read once."""

    def __init__(self) -> None:
        self.read: dict[Any, Value] = {}

    def routine(self, block: Block, arguments: Sequence[Named], outer: Mapping[str, Value | None]) -> Routine:
        """A block made ready, whose inputs are `arguments`; `outer` has the names that it may read as well, with their
        values where these are known.

        Raises:
            BundleError: a name that nothing defines, or that two define.
            UnsupportedError: an operation that there is no kernel for.
        """
        known: dict[str, Value | None] = dict(outer)
        own = {named.name for named in arguments}
        known.update(dict.fromkeys(own))
        steps: list[Step] = []
        made: dict[str, Dequantized] = {}
        for operation in block.operations:
            step = self.step(operation, known)
            if operation.type in DEQUANTIZERS:
                made[operation.name] = Dequantized(operation, step.arguments)
            if (whole := on_integers(operation, step.arguments, made)) is not None:
                step = Step(operation, whole, kernel=product)
            results: Sequence[Value | None] = [None] * len(operation.outputs)
            if operation.type.startswith(FOLDED) and not references(step.arguments):
                results = self.folded(step)
            else:
                steps.append(step)
            for named, value in zip(operation.outputs, results, strict=True):
                if named.name in own:
                    raise BundleError(f"{operation.type} {operation.name}: {named.name} is there already")
                own.add(named.name)
                known[named.name] = value
        outputs = tuple(self.reference(name, known, "a block's result") for name in block.outputs)
        return Routine(tuple(arguments), tuple(with_frees(steps, own, outputs)), outputs)

    def step(self, operation: Operation, known: Mapping[str, Value | None]) -> Step:
        if operation.type != "const" and operation.type not in KERNELS and operation.type not in CONTROL:
            raise UnsupportedError(f"{operation.type} {operation.name}: the interpreter has no such operation")
        for named in operation.outputs:
            if (named.type.count or 0) > MAX_ELEMENTS:
                raise BundleError(f"{operation.type} {operation.name}: gives {named.type}, larger than any tensor")
        arguments: dict[str, tuple[Value | Reference, ...]] = {
            key: (self.constant(value),) for key, value in operation.attributes.items() if key != "name"
        }
        for parameter, given in operation.inputs.items():
            arguments[parameter] = tuple(self.argument(one, known, operation) for one in given)
        return Step(operation, arguments, tuple(self.routine(block, block.inputs, known) for block in operation.blocks))

    def argument(
        self, argument: Argument, known: Mapping[str, Value | None], operation: Operation
    ) -> Value | Reference:
        if isinstance(argument, Constant):
            return self.constant(argument)
        return self.reference(argument, known, f"{operation.type} {operation.name}")

    def reference(self, name: str, known: Mapping[str, Value | None], reader: str) -> Value | Reference:
        if name not in known:
            raise BundleError(f"{reader} reads {name}, which nothing before it gives")
        value = known[name]
        return Reference(name) if value is None else value

    def constant(self, constant: Constant) -> Value:
        key = (constant.place, constant.type)
        if constant.place is None:
            return value_of(constant.value, constant.type.dtype)
        if key not in self.read:
            self.read[key] = value_of(constant.value, constant.type.dtype)
        return self.read[key]

    def folded(self, step: Step) -> list[Value]:
        if step.operation.type == "const":
            if len(step.operation.outputs) != 1 or "val" not in step.arguments:
                raise BundleError(f"const {step.operation.name}: has no value")
            (value,) = step.arguments["val"]
            return [value]  # type: ignore[list-item]  # not a reference, since it is folded
        values: dict[str, Value] = {}
        step.run(values)
        return [values[named.name] for named in step.operation.outputs]


def value_of(array: Array, dtype: str) -> Value:
    """A constant as kernels take it."""
    if dtype == "string":
        if array.size != 1:
            raise UnsupportedError("a list of texts has no use here")
        return str(array.item())
    if dtype not in HELD:
        raise UnsupportedError(f"constants of type {dtype}")
    if dtype in ("uint16", "uint32", "uint64"):
        array = array.astype("int64")
    return torch.from_numpy(array).to(HELD[dtype])


def references(arguments: Mapping[str, tuple[Value | Reference, ...]]) -> list[str]:
    return [one.name for given in arguments.values() for one in given if isinstance(one, Reference)]


def read_by(step: Step) -> Iterator[str]:
    """The computed values that a step reads, blocks within it included."""
    yield from references(step.arguments)
    for routine in step.routines:
        for inner in routine.steps:
            yield from read_by(inner)
        yield from (one.name for one in routine.outputs if isinstance(one, Reference))


def with_frees(steps: list[Step], own: set[str], outputs: Sequence[Value | Reference]) -> list[Step]:
    """The steps that something needs, each freeing the block's own values that no later one reads."""
    needed = {one.name for one in outputs if isinstance(one, Reference)}
    ready: list[Step] = []
    for step in reversed(steps):
        gives = {named.name for named in step.operation.outputs}
        if gives and not gives & needed and not step.routines:
            continue
        touched = {*read_by(step), *gives}
        ready.append(replace(step, frees=tuple(sorted((touched & own) - needed))))
        needed |= touched
    return ready[::-1]
