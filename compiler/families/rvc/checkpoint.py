"""Reads a checkpoint as RVC and its forks write it, from anyone: nothing in it is run, believed or allocated unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.weights import fill, some
from voxc.compiler.families.rvc.config import RvcConfig, parse_config
from voxc.compiler.families.rvc.labels import read_labels
from voxc.compiler.families.rvc.synthesizer import Synthesizer, SynthesizerNoF0
from voxc.compiler.families.rvc.training import PARALLEL, read_settings, weights_of
from voxc.compiler.families.rvc.vocoders import VOCODERS
from voxc.compiler.torch_file.objects import Foreign, StoredArray
from voxc.compiler.torch_file.read import read_torch_file

WEIGHT_NORM_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
TRAINING_ONLY = "enc_q."


@dataclass(frozen=True)
class RvcCheckpoint:
    """A loaded voice: its dimensions, its network in float32, what the file says about itself, and where it errs."""

    config: RvcConfig
    network: Synthesizer
    facts: Mapping[str, str | int | float]
    warnings: tuple[str, ...]


def load_checkpoint(path: Path, settings: Path | None = None) -> RvcCheckpoint:
    """The voice in `path`. `settings` is the config.json of its training, which only files of trainings need.

    Raises:
        CheckpointError: the file is damaged, hostile, not RVC's, or has missing, misshapen or non-finite tensors.
    """
    content = read_voice(path, settings)
    weights = named_tensors(content, path)
    speakers = weights.get("emb_g.weight")
    if speakers is None or speakers.dim() != 2:
        raise CheckpointError(f"{path}: tensor emb_g.weight (the speakers) is missing or not a matrix")
    labels = read_labels(content, weights)
    config = parse_config(
        content.get("config"),
        speakers=speakers.shape[0],
        version=labels.version,
        f0=labels.f0,
        vocoder=labels.vocoder,
        path=path,
    )
    network = build_network(config, weights, path, content.get("vocoder"))
    return RvcCheckpoint(config, network, labels.facts, tuple(f"{path}: {warning}" for warning in labels.warnings))


def read_voice(path: Path, settings: Path | None = None) -> Mapping[str, Any]:
    """A checkpoint with `weight` and `config`."""
    content = read_torch_file(path)
    if not isinstance(content, Mapping):
        kind = content.kind if isinstance(content, Foreign) else type(content).__name__
        raise CheckpointError(f"{path}: holds a {kind}, not an RVC voice")
    if "weight" in content and "config" in content:
        return content
    weights = weights_of(content)
    if weights is None or settings is None:
        raise CheckpointError(f"{path}: not an RVC voice: {what_else(content)}")
    return {"weight": weights, "config": read_settings(settings)}


def what_else(content: Mapping[str, Any]) -> str:
    """What a checkpoint is that is no voice, and what to do."""
    inner = content.get("model")
    names = [str(name) for name in (inner if isinstance(inner, Mapping) else content)]
    if any(name.startswith("discriminators.") for name in names):
        return "a discriminator (D_*.pth), which only training needs; take the voice itself, from RVC's weights folder"
    if weights_of(content) is not None:
        kind = "a bare state_dict" if inner is None else "a file of its training (G_*.pth)"
        return f"{kind}: give the config.json of its training with --config, or extract the voice in RVC's `ckpt` tab"
    return "it has no 'weight' and 'config'"


def named_tensors(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The floating-point tensors under `weight` that inference needs, under one spelling of their names."""
    weights = content["weight"]
    if not isinstance(weights, Mapping):
        raise CheckpointError(f"{path}: 'weight' must map names to tensors")
    tensors = {}
    for name, value in weights.items():
        stored = isinstance(value, StoredArray) and value.array is not None
        tensor = torch.from_numpy(value.array) if stored else value
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path}: 'weight' has an entry {name!r} that is not a tensor")
        name = name.removeprefix(PARALLEL)
        if name.startswith(TRAINING_ONLY):
            continue
        if not tensor.dtype.is_floating_point:
            raise CheckpointError(f"{path}: tensor {name} must be a floating-point tensor, not {tensor.dtype}")
        for theirs, ours in WEIGHT_NORM_NAMES.items():
            name = name.replace(theirs, ours)
        tensors[name] = tensor
    return tensors


def build_network(config: RvcConfig, weights: Mapping[str, Tensor], path: Path, vocoder: Any = None) -> Synthesizer:
    """The network with `weights` in it, in float32 and in evaluation mode. `vocoder` is what the file calls its own."""
    with torch.device("meta"):
        network = (Synthesizer if config.f0 else SynthesizerNoF0)(config)
    names = network.state_dict().keys()
    weights = split_norms(weights, names)
    unknown = sorted(weights.keys() - names)
    if unknown:
        other = vocoder not in (None, *VOCODERS)
        named = f"; its vocoder is {vocoder}, voxc reads {', '.join(VOCODERS)}" if other else ""
        raise CheckpointError(f"{path}: tensors that the config has no place for: {some(unknown)}{named}")
    fill(network, weights, path)
    return network


def split_norms(weights: Mapping[str, Tensor], names: Any) -> dict[str, Tensor]:
    """`weights`, with length and direction apart where the network has them so and the file only their product."""
    result = {}
    for name, tensor in weights.items():
        if name in names or not name.endswith(".weight") or f"{name}_g" not in names or tensor.dim() < 2:
            result[name] = tensor
        else:
            length = torch.linalg.vector_norm(tensor.float().flatten(1), dim=1)
            result[f"{name}_v"] = tensor
            result[f"{name}_g"] = length.reshape(-1, *[1] * (tensor.dim() - 1))
    return result
