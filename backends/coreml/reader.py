"""What a package holds, once it has been read back from its files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from voxc.backends.coreml.metadata import DEPLOYMENT
from voxc.backends.coreml.mil import Function, MilProgram, Operation

QUANTIZE, DEQUANTIZE, CONSTANT, DECOMPRESSION = "quantize", "dequantize", "const", "constexpr_"
#: What a weight that is decompressed so is called.
STORED = {
    "constexpr_affine_dequantize": "w8",
    "constexpr_blockwise_shift_scale": "w8",
    "constexpr_lut_to_dense": "int4",
}
SHORT = {"float16": "fp16", "float32": "fp32"}


def count_operators(program: MilProgram) -> Mapping[str, Mapping[str, int]]:
    """How many operators of each type in the default function compute in what: `{"conv": {"fp16": 72, "w8": 3}}`.

    `int8` stands between integers: all that it takes is dequantized, and what it gives is quantized. `w8` and `int4`
    take real activations and a weight of so many bits; operators on indices and truth values count as what these are.
    """
    values = Values(program.main)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for operation in values.operations:
        if operation.type != CONSTANT and not operation.type.startswith(DECOMPRESSION):
            counts[operation.type][values.arithmetic(operation)] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def deployment_of(program: MilProgram) -> str | None:
    """The oldest system that runs the package, as `iOS17`, where the package says it."""
    return program.metadata.get(DEPLOYMENT)


class Values:
    """Where the values of a function come from and go to, by name."""

    def __init__(self, function: Function) -> None:
        self.operations = function.block.operations
        self.maker = {given.name: operation for operation in self.operations for given in operation.outputs}
        self.users: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            for name in operation.references:
                self.users[name].append(operation)

    def arithmetic(self, operation: Operation) -> str:
        """What an operator computes in."""
        if operation.type in (QUANTIZE, DEQUANTIZE):
            return "int8"
        makers = [self.maker[name] for name in operation.references if name in self.maker]
        sources = [each.type for each in makers if each.type != CONSTANT]
        weights = [STORED[source] for source in sources if source in STORED]
        activations = [source for source in sources if source not in STORED]
        users = [user.type for given in operation.outputs for user in self.users[given.name]]
        if activations and set(activations) == {DEQUANTIZE} and set(users) == {QUANTIZE}:
            return "int8"
        dtype = operation.outputs[0].type.dtype
        return weights[0] if weights else SHORT.get(dtype, dtype)
