"""Reads a content encoder from a Hugging Face directory, from anyone: nothing in it is run or believed unseen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.file_kind import foreign_file
from voxc.compiler.core.weights import fill
from voxc.compiler.networks.hubert.layout import (
    CONFIG_NAME,
    PREPROCESSOR_NAME,
    model_directory,
    read_json,
    weight_files,
)
from voxc.compiler.networks.hubert.network import HubertConfig, HubertEncoder
from voxc.compiler.torch_file.read import read_torch_file

SAFETENSORS = ".safetensors"

# What a voice of each version listens to: the hidden states after so many layers, and whether through final_proj.
LISTENS_TO = {"v1": (9, True), "v2": (12, False)}
# A model inside a task head keeps its tensors under this prefix.
PREFIX = "hubert."
WEIGHT_NORM_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def load_encoder(directory: Path, version: str) -> HubertEncoder:
    """The encoder in `directory` for voices of `version`: layer 9 and `final_proj` for v1, layer 12 for v2.

    An encoder with fewer layers is listened to after its last.

    Raises:
        CheckpointError: not a `HubertModel` that voxc can use, or one whose features have another width than the voice.
    """
    directory = model_directory(directory)
    config = read_config(directory / CONFIG_NAME)
    layer, project = LISTENS_TO[version]
    layers = min(layer, config.num_hidden_layers)
    with torch.device("meta"):
        encoder = HubertEncoder(config, layers, project, normalizes(directory / PREPROCESSOR_NAME))
    fill(encoder, read_weights(directory, set(encoder.state_dict())), directory)
    return encoder


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


def normalizes(path: Path) -> bool:
    """Whether the encoder was trained on audio of zero mean and unit variance."""
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


def our_name(key: str) -> str:
    name = key.removeprefix(PREFIX)
    for theirs, ours in WEIGHT_NORM_NAMES.items():
        name = name.replace(theirs, ours)
    return name
