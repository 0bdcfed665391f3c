"""The phase of a sine at every sample, summed over frames: sums over samples lose precision in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def held_phase(cycles: Tensor, hop: int) -> Tensor:
    """[B, T, N] cycles per sample, held for the `hop` samples of a frame -> phase in cycles [B, T * hop, N]."""
    steps = torch.arange(1, hop + 1, dtype=cycles.dtype).reshape(1, 1, hop, 1)
    phase = frame_starts(cycles * hop).unsqueeze(2) + cycles.unsqueeze(2) * steps
    return phase.flatten(1, 2)


def gliding_phase(cycles: Tensor, hop: int) -> Tensor:
    """[B, T] cycles per sample in the middle of each frame, between which they change linearly -> [B, T * hop]."""
    shares = glide_shares(hop).cumsum(1)
    around = neighbours(cycles)
    starts = frame_starts((around * shares[:, -1].to(cycles.dtype)).sum(2, keepdim=True))
    return (starts + torch.matmul(around, shares.to(cycles.dtype))).flatten(1)


def gliding(values: Tensor, hop: int) -> Tensor:
    """Linear interpolation from frames to samples, as PyTorch's without aligned corners: [..., T] -> [..., T * hop]."""
    return torch.matmul(neighbours(values), glide_shares(hop).to(values.dtype)).flatten(-2)


def neighbours(values: Tensor) -> Tensor:
    """Each frame with the one before and the one after it; the edges repeat: [..., T] -> [..., T, 3]."""
    before = torch.cat([values[..., :1], values[..., :-1]], dim=-1)
    after = torch.cat([values[..., 1:], values[..., -1:]], dim=-1)
    return torch.stack([before, values, after], dim=-1)


def glide_shares(hop: int) -> Tensor:
    """What the frame before, the frame itself and the one after add to each of its samples: float64 [3, hop]."""
    place = (torch.arange(hop, dtype=torch.float64) + 0.5) / hop - 0.5
    before, after = F.relu(-place), F.relu(place)
    return torch.stack([before, 1 - before - after, after])


def frame_starts(advance: Tensor) -> Tensor:
    """The phase in which each frame begins, for cycles that frames take [B, T, N]; whole cycles are left out."""
    part = advance % 1
    return F.pad(torch.cumsum(part, 1)[:, :-1], (0, 0, 1, 0)) % 1


def sines(phase: Tensor) -> Tensor:
    return torch.sin(2 * math.pi * phase)
