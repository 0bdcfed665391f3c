"""Reads a content encoder from a Hugging Face directory, from anyone: nothing in it is run or believed unseen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.file_kind import foreign_file
from voxc.compiler.core.json_file import read_json
from voxc.compiler.networks.hubert.layout import (
    CONFIG_NAME,
    PREPROCESSOR_NAME,
    weight_files,
)
from voxc.compiler.networks.hubert.network import HubertConfig
from voxc.compiler.networks.hubert.stored import Stored, our_name
from voxc.compiler.torch_file.read import read_torch_file

SAFETENSORS = ".safetensors"


def open_directory(directory: Path) -> Stored:
    """The encoder of a Hugging Face directory.

    Raises:
        CheckpointError: not a `HubertModel` that voxc can use.
    """
    config = read_config(directory / CONFIG_NAME)
    normalizes = asks_for_normalization(directory / PREPROCESSOR_NAME)
    return Stored(directory, config, normalizes, partial(read_weights, directory))


def read_config(path: Path) -> HubertConfig:
    document = read_json(path)
    kind = document.get("model_type")
    if kind != "hubert":
        raise CheckpointError(f"{path}: model_type is {kind!r}; content encoders are 'hubert' (HuBERT, ContentVec)")
    try:
        return HubertConfig.model_validate(document)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise CheckpointError(f"{path}: {where + ': ' if where else ''}{detail['msg']}") from error


def asks_for_normalization(path: Path) -> bool:
    return path.is_file() and read_json(path).get("do_normalize") is True


def read_weights(directory: Path, wanted: set[str]) -> dict[str, Tensor]:
    """The tensors that `wanted` names, under our spelling of the weight norm; the files may hold more."""
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        tensors |= (read_safetensors if path.suffix == SAFETENSORS else read_pickle)(path, wanted)
    return tensors


def read_safetensors(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = {key: our_name(key) for key in file.keys()}  # noqa: SIM118, not a mapping
            return {name: file.get_tensor(key) for key, name in names.items() if name in wanted}
    except (SafetensorError, OSError, ValueError) as error:
        foreign = foreign_file(path)
        raise CheckpointError(f"{path}: {foreign or f'not a readable safetensors file ({error})'}") from error


def read_pickle(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    """The same of a file that torch.save wrote."""
    content = read_torch_file(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not tensors by name")
    named = {our_name(key): value for key, value in content.items() if isinstance(key, str)}
    return {name: value for name, value in named.items() if name in wanted and isinstance(value, Tensor)}
