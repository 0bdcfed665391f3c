"""The normalising flow of VITS, run backwards: prior latent -> decoder latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxc.compiler.families.rvc.convolution import WeightNormConv1d

FLOWS = 4
WAVENET_LAYERS = 3
WAVENET_KERNEL = 5


class CouplingFlow(nn.Module):
    """Affine couplings (mean only) with a channel reversal between them; parameters under `flows.0, 2, 4, 6`."""

    def __init__(self, channels: int, hidden: int, gin_channels: int) -> None:
        super().__init__()
        # the reference interleaves parameterless Flip modules, which is why its couplings have even numbers
        self.flows = nn.ModuleDict({str(2 * i): Coupling(channels, hidden, gin_channels) for i in range(FLOWS)})

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """x: [B, channels, T]; mask: [B, 1, T]; speaker: [B, gin_channels, 1]."""
        for coupling in reversed(list(self.flows.values())):
            x = coupling(torch.flip(x, [1]), mask, speaker)
        return x


class Coupling(nn.Module):
    """Subtracts from one half of the channels a mean predicted from the other half."""

    def __init__(self, channels: int, hidden: int, gin_channels: int) -> None:
        super().__init__()
        self.width = channels // 2
        self.pre = nn.Conv1d(self.width, hidden, 1)
        self.enc = WaveNet(hidden, gin_channels)
        self.post = nn.Conv1d(hidden, self.width, 1)

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        kept, moved = torch.split(x, [self.width, self.width], 1)
        mean = self.post(self.enc(self.pre(kept) * mask, mask, speaker)) * mask
        return torch.cat([kept, (moved - mean) * mask], 1)


class WaveNet(nn.Module):
    """Gated convolutions conditioned on the speaker, with residual and skip paths: [B, hidden, T] -> [B, hidden, T]."""

    def __init__(self, hidden: int, gin_channels: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.cond_layer = WeightNormConv1d(gin_channels, 2 * hidden * WAVENET_LAYERS, 1)
        self.in_layers = nn.ModuleList(
            WeightNormConv1d(hidden, 2 * hidden, WAVENET_KERNEL, padding=WAVENET_KERNEL // 2)
            for _ in range(WAVENET_LAYERS)
        )
        # the last layer has nobody to pass a residual to
        self.res_skip_layers = nn.ModuleList(
            WeightNormConv1d(hidden, hidden if i == WAVENET_LAYERS - 1 else 2 * hidden, 1)
            for i in range(WAVENET_LAYERS)
        )

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        hidden = self.hidden
        conditions = torch.split(self.cond_layer(speaker), 2 * hidden, 1)
        skips = []
        for condition, in_layer, res_skip in zip(conditions, self.in_layers, self.res_skip_layers, strict=True):
            gates = in_layer(x) + condition
            passed = res_skip(torch.tanh(gates[:, :hidden]) * torch.sigmoid(gates[:, hidden:]))
            if passed.shape[1] == 2 * hidden:
                x = (x + passed[:, :hidden]) * mask
            skips.append(passed[:, -hidden:])
        return sum(skips[1:], skips[0]) * mask
