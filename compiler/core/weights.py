"""Weights from files of anyone into networks of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from voxc.compiler.core.errors import CheckpointError


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Puts `weights` into `network`, in float32, and the network into evaluation mode.

    `network` is laid out on the meta device, so that the shapes are compared before anything is allocated.

    Raises:
        CheckpointError: a tensor of the network is missing from `weights`, or misshapen or not finite there.
    """
    expected = network.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    if missing:
        raise CheckpointError(f"{path}: missing tensors: {some(missing)}")
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {list(weights[name].shape)}, the config asks for {list(tensor.shape)}"
            )
    state = {name: weights[name].detach().to(torch.float32, copy=True).contiguous() for name in expected}
    damaged = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if damaged:
        raise CheckpointError(f"{path}: NaN or infinite values in {some(damaged)}")
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)


def some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
