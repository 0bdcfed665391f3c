"""Reads a content encoder from a Hugging Face directory, from anyone: nothing in it is run or believed unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.weights import fill
from voxc.compiler.networks.hubert.layout import CONFIG_NAME, PREPROCESSOR_NAME, WEIGHTS_NAME
from voxc.compiler.networks.hubert.network import HubertConfig, HubertEncoder

MAX_JSON_BYTES = 1 << 20

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
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory}: a content encoder is a Hugging Face directory ({CONFIG_NAME}, {WEIGHTS_NAME})"
        )
    config = read_config(directory / CONFIG_NAME)
    layer, project = LISTENS_TO[version]
    layers = min(layer, config.num_hidden_layers)
    with torch.device("meta"):
        encoder = HubertEncoder(config, layers, project, normalizes(directory / PREPROCESSOR_NAME))
    path = directory / WEIGHTS_NAME
    fill(encoder, read_weights(path, set(encoder.state_dict())), path)
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


def read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_JSON_BYTES >> 10} KiB")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: must hold a JSON object")
    return document


def read_weights(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    """The tensors that `wanted` names, under our spelling of the weight norm; the file may hold more."""
    if not path.is_file():
        pickles = sorted(file.name for file in path.parent.glob("*.bin"))
        hint = f"; {pickles[0]} is a pickle: load and save it with a newer transformers" if pickles else ""
        raise CheckpointError(f"{path}: no such file{hint}")
    tensors = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118, not a mapping
                name = key.removeprefix(PREFIX)
                for theirs, ours in WEIGHT_NORM_NAMES.items():
                    name = name.replace(theirs, ours)
                if name in wanted:
                    tensors[name] = file.get_tensor(key)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    return tensors
