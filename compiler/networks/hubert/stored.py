"""A content encoder in files, before its network is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from voxc.compiler.networks.hubert.network import HubertConfig

# A model inside a task head keeps its tensors under this prefix.
PREFIX = "hubert."
WEIGHT_NORM_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


@dataclass(frozen=True)
class Stored:
    """What the files at `path` hold.

    `normalizes` says whether the encoder was trained on audio of zero mean and unit variance. `read` gives the tensors
    of some names, under Hugging Face's names and our spelling of the weight norm; those that are not there are left
    out.
    """

    path: Path
    config: HubertConfig
    normalizes: bool
    read: Callable[[set[str]], Mapping[str, Tensor]]
    warnings: tuple[str, ...] = ()


def our_name(key: str) -> str:
    name = key.removeprefix(PREFIX)
    for theirs, ours in WEIGHT_NORM_NAMES.items():
        name = name.replace(theirs, ours)
    return name
