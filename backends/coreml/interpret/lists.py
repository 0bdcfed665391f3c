"""Lists of tensors, as loops fill them. An operation on a list gives a new one; its elements are shared."""

from __future__ import annotations

import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import HELD, NAMES, Call, Lowerings, TensorList

MAX_LENGTH = 1 << 20


def make_list(call: Call) -> TensorList:
    """Of `init_length` elements that are all zero, of unknown shape where `elem_shape` leaves one open."""
    length = call.integer("init_length", 1)
    if not 0 <= length <= MAX_LENGTH:
        raise call.wrong(f"a list of {length} elements")
    name = call.text("dtype", "fp32")
    dtype = HELD.get(NAMES.get(name, name))
    sizes = [int(value) if isinstance(value, Tensor) else -1 for value in call.values.get("elem_shape", ())]
    if dtype is None:
        raise call.unsupported(f"a list of {name}")
    empty = None if min(sizes, default=0) < 0 else torch.zeros(call.bounded(sizes), dtype=dtype)
    return TensorList((empty,) * length)


def place_in(call: Call, elements: tuple[Tensor | None, ...], index: int) -> int:
    if not -len(elements) <= index < len(elements):
        raise call.wrong(f"element {index} of {len(elements)}")
    return index % len(elements)


def element(call: Call, elements: tuple[Tensor | None, ...], index: int) -> Tensor:
    found = elements[place_in(call, elements, index)]
    if found is None:
        raise call.wrong(f"element {index} is read before it is written")
    return found


def list_read(call: Call) -> Tensor:
    return element(call, call.elements("ls"), call.integer("index"))


def list_gather(call: Call) -> Tensor:
    elements = call.elements("ls")
    return torch.stack([element(call, elements, index) for index in call.ints("indices")])


def list_write(call: Call) -> TensorList:
    """The list with one element replaced; it grows to hold an element behind its end."""
    elements, index = list(call.elements("ls")), call.integer("index")
    if not 0 <= index < MAX_LENGTH:
        raise call.wrong(f"element {index} written")
    elements += [None] * (index + 1 - len(elements))
    elements[index] = call.tensor("value")
    return TensorList(tuple(elements))


def list_scatter(call: Call) -> TensorList:
    elements, values = list(call.elements("ls")), call.tensor("value")
    indices = call.ints("indices")
    if len(indices) != len(values) or not all(0 <= index < MAX_LENGTH for index in indices):
        raise call.wrong(f"{len(values)} values for elements {indices[:8]}")
    elements += [None] * (max(indices, default=-1) + 1 - len(elements))
    for index, value in zip(indices, values, strict=True):
        elements[index] = value
    return TensorList(tuple(elements))


def list_length(call: Call) -> Tensor:
    return torch.tensor(len(call.elements("ls")), dtype=call.held())


TABLE: Lowerings = {
    "list_gather": list_gather,
    "list_length": list_length,
    "list_read": list_read,
    "list_scatter": list_scatter,
    "list_write": list_write,
    "make_list": make_list,
}

EXACT = frozenset(TABLE)
