"""The network of a content encoder from files of anyone: nothing in them is run or believed unseen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from voxc.compiler.core.errors import CheckpointError, RecipeError
from voxc.compiler.core.weights import fill
from voxc.compiler.networks.hubert.checkpoint import open_checkpoint
from voxc.compiler.networks.hubert.directory import open_directory
from voxc.compiler.networks.hubert.layout import model_place
from voxc.compiler.networks.hubert.network import HubertEncoder
from voxc.compiler.networks.hubert.stored import Stored


@dataclass(frozen=True)
class Listening:
    """Which hidden states are the features: those after `layer` layers, of which None means all, through `final_proj`
    where `project`. An encoder with fewer layers is listened to after its last, unless the layer is `exact`."""

    layer: int | None
    project: bool
    exact: bool = False


def open_encoder(path: Path) -> Stored:
    """What a Hugging Face directory, a checkpoint of fairseq or a state dict says of its encoder.

    Raises:
        CheckpointError: it cannot be read, or is not a HuBERT that voxc can use.
    """
    place = model_place(path)
    return open_directory(place) if place.is_dir() else open_checkpoint(place)


def load_encoder(path: Path, listening: Listening) -> HubertEncoder:
    """The encoder in `path`, up to the layer that is listened to.

    Raises:
        CheckpointError: see `open_encoder`; or tensors are missing or misshapen.
        RecipeError: it has no such layer.
    """
    return build_encoder(open_encoder(path), listening)


def build_encoder(stored: Stored, listening: Listening) -> HubertEncoder:
    """The same, of files that are open."""
    there = stored.config.num_hidden_layers
    if listening.exact and listening.layer is not None and not 1 <= listening.layer <= there:
        raise RecipeError(f"--content-layer {listening.layer}: {stored.path} has layers 1 to {there}")
    layers = min(listening.layer or there, there)
    with torch.device("meta"):
        encoder = HubertEncoder(stored.config, layers, listening.project, stored.normalizes)
    tensors = stored.read(set(encoder.state_dict()))
    if listening.project and not any(name.startswith("final_proj.") for name in tensors):
        raise CheckpointError(
            f"{stored.path}: has no final_proj, which voices of version 1 listen through; take the encoder that such "
            "voices were trained with (hubert_base.pt)"
        )
    fill(encoder, tensors, stored.path)
    return encoder
