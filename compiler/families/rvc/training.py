"""Voices as RVC and Applio keep them while they train them: G_*.pth, and the settings of the training beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.json_file import read_json

CONFIG_NAME = "config.json"
PARALLEL = "module."  # before the names of a network that was trained on several GPUs
PRIOR = "enc_p."  # begins the names of tensors that every voice has
#: Values of the checkpoint's list that no inference needs, and not all settings have.
UNUSED = ("spec_channels", "segment_size", "p_dropout", "spk_embed_dim")


def weights_of(content: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    """The tensors of a voice that is in training, or of a state dict alone; None if it is neither."""
    model = content.get("model")
    weights = model if isinstance(model, Mapping) else content
    return weights if any(str(name).removeprefix(PARALLEL).startswith(PRIOR) for name in weights) else None


def read_settings(path: Path) -> dict[str, Any]:
    """The dimensions of a voice in its training's config.json, by the names that checkpoints have for them.

    Raises:
        CheckpointError: it is no such file.
    """
    document = read_json(path)
    model, data = document.get("model"), document.get("data")
    if not isinstance(model, dict) or not isinstance(data, dict) or "sampling_rate" not in data:
        raise CheckpointError(
            f"{path}: not the settings of a training: it has no 'model' and 'data' with a 'sampling_rate'; give the "
            "config.json from the folder in which RVC trained the voice"
        )
    return {**dict.fromkeys(UNUSED, 0), **model, "sample_rate": data["sampling_rate"]}
