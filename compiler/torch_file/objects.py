"""What the pickle machine makes of the objects in a file: tensors, arrays, plain containers, and inert stand-ins.

A file names classes and functions; none of them is looked up. `CONSTRUCTORS` are functions of our own under the names
of those that files call. Objects of the packages in `INERT` become `Foreign`: their arguments and state, and nothing
that acts. Any other name is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}  # fmt: skip
TENSOR_DTYPES = {
    name: getattr(torch, name)
    for name in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool",
                 "float8_e4m3fn", "float8_e5m2")
}  # fmt: skip
#: Packages whose objects lie about in checkpoints and are of no use here.
INERT = ("argparse", "collections", "copyreg", "copy_reg", "datetime", "enum", "fairseq", "numpy", "omegaconf",
         "pathlib", "torch", "typing", "uuid")  # fmt: skip
#: Names in those packages that stand for what cannot be read, rather than for what does not matter.
UNREADABLE = ("torch._utils._rebuild", "torch._tensor._rebuild", "torch.jit")
BUILTIN_TYPES = frozenset(
    {
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "set", "str",
        "tuple",
    }
)  # fmt: skip
ARRAY_KINDS = "fiub"
BOX_BYTES = 16  # of a NumPy scalar


class RefusedError(Exception):
    """The file asks for what is not done. The message is a clause about the file."""


@dataclass(frozen=True)
class Named:
    """A class or function by its name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Foreign:
    """An object of a class that is not looked up: what it was made of, and the state it was given."""

    kind: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass
class StoredDtype:
    """A NumPy data type: its code, such as `f4`, and the order of its bytes."""

    code: str
    order: str = "|"


@dataclass
class StoredArray:
    """A NumPy array, once its state has come."""

    array: np.ndarray[Any, Any] | None = None


def refuse(name: Named) -> RefusedError:
    if str(name).startswith("torch."):
        return RefusedError(
            f"holds an object that voxc does not read ({name}); save a dictionary of dense tensors instead, such as "
            "the state_dict of a module"
        )
    return RefusedError(f"refused, loading it would run code ({name}); a voice holds only tensors")


def is_inert(name: Named) -> bool:
    package = name.module.partition(".")[0]
    if package in ("builtins", "__builtin__"):
        return name.name in BUILTIN_TYPES
    return package in INERT and not str(name).startswith(UNREADABLE)


def construct(name: Named, arguments: tuple[Any, ...]) -> Any:
    """What a call of `name` stands for.

    Raises:
        RefusedError: nothing that is known to be harmless.
    """
    if str(name) in CONSTRUCTORS:
        return CONSTRUCTORS[str(name)](*arguments)
    if not is_inert(name):
        raise refuse(name)
    return Foreign(str(name), arguments)


def set_state(target: Any, state: Any) -> None:
    """What a file gives an object after it has been made; of tensors and containers it does not matter."""
    if isinstance(target, StoredArray):
        target.array = array_of(*state)
    elif isinstance(target, StoredDtype):
        target.order = state[1] if state[1] in "<>=" else "|"
    elif isinstance(target, Foreign):
        target.state = state


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of a storage.

    Raises:
        RefusedError: it is larger than that.
    """
    if not isinstance(storage, Tensor) or len(size) != len(stride):
        raise ValueError("no storage")
    if any(type(number) is not int or number < 0 for number in (offset, *size, *stride)):
        raise ValueError("sizes are not natural numbers")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and last >= storage.numel():
        raise RefusedError("damaged: a tensor claims more elements than the file holds")
    return storage.as_strided(size, stride, offset) if count else storage.new_empty(size)


def rebuild_tensor_of(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    """The same over a storage that has no type of its own."""
    if dtype.name not in TENSOR_DTYPES:
        raise refuse(dtype)
    return rebuild_tensor(storage.view(TENSOR_DTYPES[dtype.name]), offset, size, stride)


def rebuild_by(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    return construct(function, arguments)


def dictionary(*arguments: Any) -> dict[Any, Any]:
    pairs = arguments[-1] if arguments else ()
    if isinstance(pairs, Named):  # the factory of a defaultdict
        return {}
    result = {}
    for key, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
        result[checked_key(key)] = value
    return result


def checked_key(key: Any) -> Any:
    """A key of a dictionary; deep ones could exhaust the stack where they are hashed."""
    plain = key if isinstance(key, tuple) else (key,)
    if not all(each is None or isinstance(each, str | bytes | int | float | Named) for each in plain):
        raise ValueError("a key that is no plain value")
    return key


def encode(text: str, codec: str) -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise ValueError(codec)
    return text.encode("latin-1")


def dtype_of(code: str, *_: Any) -> StoredDtype:
    return StoredDtype(code)


def numpy_dtype(stored: StoredDtype) -> np.dtype[Any]:
    dtype = np.dtype(stored.order.replace("|", "=") + stored.code)
    if dtype.kind not in ARRAY_KINDS:
        raise ValueError("not numbers")
    return dtype


def array_of(version: Any, shape: Any, stored: Any, fortran: Any, content: Any) -> np.ndarray[Any, Any]:
    data = content.encode("latin-1") if isinstance(content, str) else content
    values = np.frombuffer(data, numpy_dtype(stored)).copy()
    return values.reshape(shape, order="F" if fortran else "C")


def number(stored: StoredDtype, content: bytes | str) -> Any:
    data = content.encode("latin-1") if isinstance(content, str) else content
    return np.frombuffer(data[:BOX_BYTES], numpy_dtype(stored), count=1)[0].item()


def set_of(*arguments: Any) -> set[Any]:
    return {checked_key(key) for key in (arguments[0] if arguments else ())}


CONSTRUCTORS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": rebuild_tensor_of,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._tensor._rebuild_from_type_v2": rebuild_by,
    "torch.Size": lambda sizes: tuple(sizes),
    "collections.OrderedDict": dictionary,
    "collections.defaultdict": dictionary,
    "collections.Counter": dictionary,
    "_codecs.encode": encode,
    "copyreg._reconstructor": lambda kind, *_: construct(kind, ()),
    "copy_reg._reconstructor": lambda kind, *_: construct(kind, ()),
    "builtins.set": set_of,
    "__builtin__.set": set_of,
    "builtins.frozenset": lambda *values: frozenset(set_of(*values)),
    "__builtin__.frozenset": lambda *values: frozenset(set_of(*values)),
    "__builtin__.bytes": lambda: b"",
    "numpy.dtype": dtype_of,
    "numpy.core.multiarray.scalar": number,
    "numpy._core.multiarray.scalar": number,
    "numpy.core.multiarray._reconstruct": lambda *_: StoredArray(),
    "numpy._core.multiarray._reconstruct": lambda *_: StoredArray(),
}
