"""What there is to tell about an exported function: its operations, and where it moves data without computing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path

from voxc.backends.mlx import function_file
from voxc.backends.mlx.function_file import Function, Operation, Tensor
from voxc.compiler.errors import BundleError

#: What an operation computes in, by the type that it gives; other types are told as they are.
PRECISIONS = {"float16": "fp16", "float32": "fp32"}
#: Operations that give their input, or a part of it, seen otherwise.
VIEWS = frozenset(
    {"Broadcast", "ExpandDims", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unflatten"}
)
RESHAPES = frozenset({"Flatten", "Reshape", "Unflatten"})


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


def layout_changes(function: Function) -> list[Operation]:
    """The operations that do nothing but put elements into another order, or that copy them for it.

    Those are transpositions, and reshapes of what does not lie in memory as its shape says: after a transposition, or
    of a part of something that is no run of it. What is computed from such a thing is written in order again.
    """
    in_order = dict.fromkeys((*function.inputs, *function.constants), True)
    found = []
    for operation in function.operations:
        source = operation.inputs[0] if operation.inputs else 0
        ordered = in_order.get(source, True)
        if operation.name in ("Transpose", "Copy") or (operation.name in RESHAPES and not ordered):
            found.append(operation)
        if operation.name == "Transpose":
            ordered = False
        elif operation.name == "Slice":
            ordered = ordered and is_run(function.tensors[source], function.tensors[operation.outputs[0]])
        elif operation.name in ("Split", "Broadcast"):
            sizes = [function.tensors[each].shape for each in (source, *operation.outputs)]
            ordered = ordered and len(set(map(prod, sizes))) == 1
        elif operation.name not in VIEWS or operation.name in RESHAPES:
            ordered = True
        in_order.update(dict.fromkeys(operation.outputs, ordered))
    return found


def is_run(whole: Tensor, part: Tensor) -> bool:
    """Whether a part of a tensor is one stretch of its memory: cut along one axis, with only ones in front."""
    cut = [axis for axis, (old, new) in enumerate(zip(whole.shape, part.shape, strict=True)) if old != new]
    return not cut or all(size == 1 for size in part.shape[: cut[-1]])
