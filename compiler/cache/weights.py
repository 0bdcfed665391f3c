"""The weights of a program on disk: memory as it is, once for all tensors that share it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxc.compiler.cache.entry import DamagedEntry, UnsuitableEntry


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Writes the memory of `weights` to a file, and gives what is where in it, as JSON.

    Raises:
        UnsuitableEntry: a weight is not an ordinary tensor on the CPU.
        OSError: the file cannot be written.
    """
    places: dict[int, int] = {}
    sizes: list[int] = []
    tensors: dict[str, Any] = {}
    with path.open("wb") as stream:
        for name, tensor in weights.items():
            if not is_ordinary(tensor):
                raise UnsuitableEntry(f"the weight {name} is no ordinary tensor on the CPU")
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in places or not storage.nbytes():
                places[storage.data_ptr()] = len(sizes)
                sizes.append(storage.nbytes())
                stream.write(torch.empty(0, dtype=torch.uint8).set_(storage).numpy().data)
            tensors[name] = {
                "storage": places[storage.data_ptr()],
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "shape": list(tensor.shape),
                "stride": list(tensor.stride()),
                "offset": tensor.storage_offset(),
                "parameter": isinstance(tensor, torch.nn.Parameter),
                "requires_grad": tensor.requires_grad,
            }
    return {"storages": sizes, "tensors": tensors}


def read_weights(path: Path, description: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights by name; those that shared memory share it again.

    Raises:
        DamagedEntry: the file is too short.
        OSError: it cannot be read.
    """
    storages: list[torch.UntypedStorage] = []
    with path.open("rb") as stream:
        for size in description["storages"]:
            memory = torch.empty(size, dtype=torch.uint8)
            if stream.readinto(memory.numpy().data) != size:
                raise DamagedEntry(f"{path.name} is too short")
            storages.append(memory.untyped_storage())
    return {name: tensor_of(each, storages[each["storage"]]) for name, each in description["tensors"].items()}


def tensor_of(description: Mapping[str, Any], storage: torch.UntypedStorage) -> Tensor:
    shape, stride, offset = (description[key] for key in ("shape", "stride", "offset"))
    tensor = torch.empty(0, dtype=getattr(torch, description["dtype"])).set_(storage, offset, shape, stride)
    if description["parameter"]:
        return torch.nn.Parameter(tensor, requires_grad=description["requires_grad"])
    return tensor.requires_grad_(description["requires_grad"])


def is_ordinary(tensor: object) -> bool:
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
    )
