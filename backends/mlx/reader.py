"""What an exported function holds, read back from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from voxc.backends.mlx import function_file
from voxc.backends.mlx.function_file import Function, Operation
from voxc.compiler.core.errors import BundleError

#: What an operation computes in, by the type that it gives; other types are told as they are.
PRECISIONS = {"float16": "fp16", "float32": "fp32"}


def read(file: Path) -> Function:
    """The function in a file.

    Raises:
        BundleError: it holds none.
    """
    try:
        return function_file.read(file.read_bytes())[0]
    except (OSError, BundleError) as error:
        raise BundleError(f"{file}: {error}") from error


def count_operators(file: Path) -> Mapping[str, Mapping[str, int]]:
    """The operations in a file by name and by what they compute in; those on packed weights by the bits of these."""
    function = read(file)
    counts: dict[str, Counter[str]] = {}
    for operation in function.operations:
        precision = precision_of(function, operation)
        counts.setdefault(operation.name, Counter())[precision] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def precision_of(function: Function, operation: Operation) -> str:
    if operation.name == "QuantizedMatmul":
        return {8: "w8", 4: "int4"}.get(operation.state[1], f"{operation.state[1]} bits")
    dtype = function.tensors[operation.outputs[0]].dtype
    return PRECISIONS.get(dtype, dtype)
