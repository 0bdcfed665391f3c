"""Where an exported function moves data without computing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from voxc.backends.mlx.function_file import Function, Operation

Shape = tuple[int, ...]
#: For each axis, how many elements lie between neighbours.
Strides = tuple[int, ...]
RESHAPES = frozenset({"Flatten", "Reshape", "Unflatten"})


def layout_changes(function: Function) -> list[Operation]:
    """The operations that do nothing but put elements into another order, or that copy them for it: transpositions,
    and reshapes of what a transposition or a slice has left in memory so that the new axes cannot be steps through it.
    """
    strides: dict[int, Strides] = {}
    found = []
    for operation in function.operations:
        tensors = [function.tensors[number] for number in operation.inputs]
        now = [
            strides.get(number) or contiguous(each.shape)
            for number, each in zip(operation.inputs, tensors, strict=True)
        ]
        for output in operation.outputs:
            shape = function.tensors[output].shape
            seen = (
                VIEWS[operation.name](operation, tensors[0].shape, now[0], shape) if operation.name in VIEWS else None
            )
            if operation.name in ("Transpose", "Copy") or (operation.name in RESHAPES and seen is None):
                found.append(operation)
            if seen is not None:
                strides[output] = seen
    return found


def contiguous(shape: Shape) -> Strides:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def transposed(operation: Operation, shape: Shape, strides: Strides, result: Shape) -> Strides:
    return tuple(strides[axis] for axis in operation.state[0])


def broadcast(operation: Operation, shape: Shape, strides: Strides, result: Shape) -> Strides:
    lacking = len(result) - len(shape)
    kept = [
        stride if size == wanted else 0 for size, stride, wanted in zip(shape, strides, result[lacking:], strict=True)
    ]
    return (*[0] * lacking, *kept)


def sliced(operation: Operation, shape: Shape, strides: Strides, result: Shape) -> Strides:
    return tuple(stride * step for stride, step in zip(strides, operation.state[2], strict=True))


def split(operation: Operation, shape: Shape, strides: Strides, result: Shape) -> Strides:
    return strides


def reshaped(operation: Operation, shape: Shape, strides: Strides, result: Shape) -> Strides | None:
    """None where the new axes are no steps through the memory as it is.

    Neighbouring axes that are one run of equal steps are one; each of these is then cut into new axes.
    """
    runs: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * stride:
            runs[-1] = runs[-1][0] * size, stride
        else:
            runs.append((size, stride))
    found = []
    left, stride = runs.pop() if runs else (1, 1)
    for size in reversed(result):
        if left == 1 and size > 1 and runs:
            left, stride = runs.pop()
        if left % size:
            return None
        found.append(stride)
        left, stride = left // size, stride * size
    return tuple(reversed(found))


#: Operations that give their input, or a part of it, seen otherwise, and the strides of what they give.
VIEWS: Mapping[str, Callable[[Operation, Shape, Strides, Shape], Strides | None]] = {
    "Broadcast": broadcast, "ExpandDims": reshaped, "Flatten": reshaped, "Reshape": reshaped, "Slice": sliced,
    "Split": split, "Squeeze": reshaped, "Transpose": transposed, "Unflatten": reshaped,
}  # fmt: skip
