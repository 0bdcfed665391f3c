"""Weight-normed convolutions (Salimans and Kingma, 2016) with the parameter names of RVC's checkpoints.

PyTorch's own parametrization does not survive a non-strict `torch.export`, and its hooks are deprecated; the formula is
one line, and `fold_weight_norm` removes it from every graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightNormConv1d(nn.Conv1d):
    """`nn.Conv1d` whose weight is `weight_g * weight_v / |weight_v|`, the norm over all axes but the first."""

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        split_weight(self)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, normed_weight(self), self.bias)


class WeightNormConvTranspose1d(nn.ConvTranspose1d):
    """`nn.ConvTranspose1d` under the same norm; its first axis is the input channel."""

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        split_weight(self)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return nn.functional.conv_transpose1d(
            x, normed_weight(self), self.bias, self.stride, self.padding  # type: ignore[arg-type]
        )  # fmt: skip


def split_weight(conv: nn.Conv1d | nn.ConvTranspose1d) -> None:
    weight = conv.weight.detach()
    del conv.weight
    conv.weight_g = nn.Parameter(torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True))
    conv.weight_v = nn.Parameter(weight)


def normed_weight(conv: nn.Conv1d | nn.ConvTranspose1d) -> Tensor:
    norm = torch.linalg.vector_norm(conv.weight_v, dim=(1, 2), keepdim=True)
    return conv.weight_v * (conv.weight_g / norm)
