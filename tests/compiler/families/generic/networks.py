"""Networks that are no voices."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Network(nn.Module):
    """Convolutions, group norm, attention and a transposed convolution: [1, 6, 20] -> [1, 6, 40] and [1, 20, 12]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(6, 12, 3, padding=1)
        self.norm = nn.GroupNorm(3, 12)
        self.project = nn.Linear(12, 36)
        self.up = nn.ConvTranspose1d(12, 6, 4, 2, 1)

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.norm(self.first(input))).transpose(1, 2)
        query, key, value = (part.reshape(1, 20, 3, 4).transpose(1, 2) for part in self.project(x).chunk(3, -1))
        weights = torch.softmax(query @ key.transpose(-1, -2) / 2, -1)
        mixed = x + (weights @ value).transpose(1, 2).reshape(1, 20, 12)
        return torch.tanh(self.up(mixed.transpose(1, 2))), mixed


class Recurrent(nn.Module):
    """A GRU: [1, 5, 4] -> [1, 5, 6]."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0]


def network() -> tuple[nn.Module, dict[str, Tensor]]:
    """A factory, as `voxc compile tests.compiler.families.generic.networks:network --family torch` calls it."""
    torch.manual_seed(0)
    return Network().eval(), {"input": torch.randn(1, 6, 20)}


def broken() -> tuple[nn.Module, dict[str, Tensor]]:
    raise RuntimeError("no weights here")


def no_network() -> str:
    return "a string"
