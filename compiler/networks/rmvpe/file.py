"""Reads RMVPE from rmvpe.pt, from anyone: nothing in it is run or believed unseen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.weights import fill
from voxc.compiler.networks.rmvpe.network import Padding, Rmvpe, RmvpeConfig, RmvpeNetwork
from voxc.compiler.torch_file.read import read_torch_file

FIRST = "unet.encoder.layers.0.conv.0.conv.0.weight"


def load_rmvpe(path: Path, padding: Padding = "zeros") -> Rmvpe:
    """The network in `path`, a bare state dict in float32 or float16.

    Raises:
        CheckpointError: it cannot be read, or holds another network.
    """
    weights = state_dict(path)
    if FIRST not in weights or weights[FIRST].dim() != 4:
        raise CheckpointError(f"{path}: not RMVPE, as it has no {FIRST}; give rmvpe.pt as RVC downloads it")
    try:
        config = config_of(weights)
    except ValidationError as error:
        detail = error.errors()[0]
        raise CheckpointError(f"{path}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from error
    with torch.device("meta"):
        network = RmvpeNetwork(config)
    fill(network, weights, path)
    return Rmvpe(network, padding).eval()


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that holds nothing else.

    Raises:
        CheckpointError: it cannot be read, or holds something else.
    """
    content = read_torch_file(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds no tensors by name; give the network's state dict")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def config_of(weights: Mapping[str, Tensor]) -> RmvpeConfig:
    """The sizes that follow from the names and shapes of tensors.

    Raises:
        ValidationError: they are out of bounds.
    """
    return RmvpeConfig(
        channels=weights[FIRST].shape[0],
        levels=count(weights, r"unet\.encoder\.layers\.(\d{1,4})\."),
        bottleneck=count(weights, r"unet\.intermediate\.layers\.(\d{1,4})\."),
        blocks=count(weights, r"unet\.encoder\.layers\.0\.conv\.(\d{1,4})\."),
        recurrent_layers=count(weights, r"fc\.0\.gru\.weight_ih_l(\d{1,4})$"),
    )


def count(names: Iterable[str], pattern: str) -> int:
    """How many there are of what a pattern numbers."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})
