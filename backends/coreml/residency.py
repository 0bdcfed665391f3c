"""Where the operations of an ML program are expected to run: the rules of residency.yaml applied to a package."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voxc.backends.coreml.mil import Constant, Function, Operation, TensorType
from voxc.backends.coreml.package import read_program
from voxc.backends.coreml.residency_rules import Generation, Reason, Rules, load_rules
from voxc.compiler.core.errors import BundleError, UnsupportedError
from voxc.compiler.core.runner import Placement

ENGINE = "ANE"
#: Where Core ML runs what the engine does not take, by the units that it may use.
FALLBACK = {"CPU_AND_NE": "CPU", "ALL": "GPU"}
#: Axes from the last one on, as the limits call them.
AXES = ("width", "height", "channels", "batch")
CONVOLUTIONS = ("conv", "conv_transpose")


@dataclass(frozen=True)
class Verdict:
    """Why an operation is not on the engine; `rule` and `sources` are keys of residency.yaml."""

    rule: str
    why: str
    fix: str
    sources: tuple[str, ...]


def placements(package: Path, max_width: int | None, compute_units: str | None) -> tuple[Placement, ...]:
    """Where the operations of the default function are expected to run, in order, constants left out.

    `where` is for the generation whose rows are as long as the target's; `generations` has all of them.

    Raises:
        UnsupportedError: the target does not use the engine, or no generation has such rows.
        BundleError: the package cannot be read.
    """
    rules = load_rules()
    if compute_units not in FALLBACK:
        raise UnsupportedError(
            f"there are no rules for where Core ML runs operators by {compute_units}, without the ANE"
        )
    first = next((each for each in rules.generations if each.width == max_width), None)
    if first is None:
        raise UnsupportedError(f"no generation of the Neural Engine is known to take rows of {max_width}")
    values = Values(read_program(package).main)
    places = []
    for operation in values.operations:
        verdicts = {each.name: judge(rules, each, operation, values) for each in rules.generations}
        where = {name: FALLBACK[compute_units] if found else ENGINE for name, found in verdicts.items()}
        told = verdicts[first.name] or Verdict("", "", "", rules.native.sources)
        places.append(
            Placement(
                operation.name, operation.type, where[first.name], told.why, told.fix,
                multiplications(operation, values), told.rule, where,
                tuple(rules.sources[name] for name in told.sources),
            )
        )  # fmt: skip
    return tuple(places)


class Values:
    """A function's operations without its constants, and what is known of the values that they take."""

    def __init__(self, function: Function) -> None:
        everything = function.block.operations
        named = [*function.arguments, *(given for each in everything for given in each.outputs)]
        self.types = {each.name: each.type for each in named}
        self.constants = {each.name: each for each in everything if is_constant(each)}
        self.operations = [each for each in everything if not is_constant(each)]

    def activations(self, operation: Operation) -> Iterator[TensorType]:
        """The types of what an operation takes, constants left out, and of what it gives."""
        for name in operation.references:
            if name in self.types and name not in self.constants:
                yield self.types[name]
        yield from (given.type for given in operation.outputs)

    def shape(self, operation: Operation, name: str) -> tuple[int, ...]:
        """The shape of an argument, which has axes.

        Raises:
            BundleError: the operation lacks it, or its shape is not known.
        """
        for value in operation.inputs.get(name, ()):
            kind = self.types.get(value) if isinstance(value, str) else value.type
            if kind is not None and kind.shape and None not in kind.shape:
                return tuple(size for size in kind.shape if size is not None)
        raise BundleError(f"{operation.name}: nothing is known of the shape of {operation.type}'s {name}")

    def flag(self, operation: Operation, name: str) -> bool:
        """A constant that is true or false; false where it is left out.

        Raises:
            BundleError: it is no constant.
        """
        for value in operation.inputs.get(name, ()):
            maker = self.constants.get(value) if isinstance(value, str) else None
            constant = maker.attributes.get("val") if maker else value
            if isinstance(constant, Constant) and constant.type.count == 1:
                return bool(constant.value)
            raise BundleError(f"{operation.name}: {operation.type}'s {name} is no constant")
        return False


def is_constant(operation: Operation) -> bool:
    return operation.type == "const" or operation.type.startswith("constexpr_")


def judge(rules: Rules, generation: Generation, operation: Operation, values: Values) -> Verdict | None:
    """Why an operation is not expected on the engine, None if it is."""
    for rule in rules.elsewhere:
        if operation.type in rule.operations:
            return Verdict("elsewhere", rule.why, rule.fix, rule.sources)
    if operation.type not in rules.native.operations:
        return verdict("unknown", rules.unknown)
    for value in values.activations(operation):
        if value.count is None:
            return verdict("static", rules.static)
        if value.dtype not in rules.types.taken:
            return verdict("types", rules.types, dtype=value.dtype)
    return too_large(rules, generation, operation, values)


def too_large(rules: Rules, generation: Generation, operation: Operation, values: Values) -> Verdict | None:
    for value in values.activations(operation):
        shape = [size for size in value.shape or () if size is not None]
        if len(shape) > rules.rank.most:
            return verdict("rank", rules.rank, rank=len(shape))
        for axis, size in zip(AXES, reversed(shape), strict=False):
            limit = getattr(generation, axis)
            if size > limit:
                return verdict("axis", rules.axis, axis=axis, size=size, limit=limit)
    if operation.type in CONVOLUTIONS:
        width = values.shape(operation, "weight")[-1]
        if width > generation.kernel:
            return verdict("kernel", rules.kernel, size=width, limit=generation.kernel)
    return None


def verdict(rule: str, reason: Reason, **numbers: object) -> Verdict:
    return Verdict(rule, reason.why.format(**numbers), reason.fix, reason.sources)


def multiplications(operation: Operation, values: Values) -> int:
    """The multiply-accumulates of a convolution or product; 0 for other operations, and where shapes are not known."""
    count = COUNTED.get(operation.type)
    known = all(value.count is not None for value in values.activations(operation))
    return count(operation, values) if count is not None and known else 0


def of_convolution(operation: Operation, values: Values) -> int:
    """Weights [O, I / groups, *K]: each result takes those of one output channel."""
    return results(operation) * math.prod(values.shape(operation, "weight")[1:])


def of_transposed(operation: Operation, values: Values) -> int:
    """Weights [I, O / groups, *K]: each element that comes in takes those of one input channel."""
    return math.prod(values.shape(operation, "x")) * math.prod(values.shape(operation, "weight")[1:])


def of_linear(operation: Operation, values: Values) -> int:
    return results(operation) * values.shape(operation, "x")[-1]


def of_product(operation: Operation, values: Values) -> int:
    shape = values.shape(operation, "x")
    return results(operation) * shape[-2 if len(shape) > 1 and values.flag(operation, "transpose_x") else -1]


def of_einsum(operation: Operation, values: Values) -> int:
    """Core ML's only einsum: `nchw,nwhu->nchu`, and the same without the batch."""
    return results(operation) * values.shape(operation, "values")[-1]


def results(operation: Operation) -> int:
    return operation.outputs[0].type.count or 0


COUNTED: dict[str, Callable[[Operation, Values], int]] = {
    "conv": of_convolution,
    "conv_transpose": of_transposed,
    "linear": of_linear,
    "matmul": of_product,
    "einsum": of_einsum,
}
