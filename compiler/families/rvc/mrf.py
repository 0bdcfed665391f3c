"""Applio's "MRF HiFi-GAN": HiFi-GAN with nine harmonics in its source, under names of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.families.rvc.config import RvcConfig
from voxc.compiler.families.rvc.convolution import WeightNormConv1d, WeightNormConvTranspose1d
from voxc.compiler.families.rvc.frame_phase import held_phase
from voxc.compiler.families.rvc.generator import SINE_AMPLITUDE, SLOPE, VOICED_NOISE, same_conv

HARMONICS = 9


class MrfGenerator(nn.Module):
    """Latent frames to audio: [B, inter, T] -> [B, 1, T * hop], in [-1, 1]."""

    def __init__(self, config: RvcConfig) -> None:
        super().__init__()
        rates, first = config.upsample_rates, config.upsample_initial_channel
        widths = [first >> (stage + 1) for stage in range(len(rates))]
        self.m_source = HarmonicsSource(config.sample_rate, config.hop)
        self.conv_pre = WeightNormConv1d(config.inter_channels, first, 7, padding=3)
        self.cond = nn.Conv1d(config.gin_channels, first, 1)
        self.upsamples = nn.ModuleList(
            WeightNormConvTranspose1d(2 * width, width, kernel, rate, padding=(kernel - rate) // 2)
            for width, rate, kernel in zip(widths, rates, config.upsample_kernel_sizes, strict=True)
        )
        self.noise_convs = nn.ModuleList(
            source_conv(width, math.prod(rates[stage + 1 :])) for stage, width in enumerate(widths)
        )
        blocks = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
        self.mrfs = nn.ModuleList(Mean(MrfBlock(width, *block) for block in blocks) for width in widths)
        self.conv_post = WeightNormConv1d(widths[-1], 1, 7, padding=3)

    def forward(self, x: Tensor, speaker: Tensor, f0: Tensor) -> Tensor:
        """x: [B, inter, T]; speaker: [B, gin_channels, 1]; f0: [B, T] Hz."""
        source = self.m_source(f0)
        x = self.conv_pre(x) + self.cond(speaker)
        for up, blocks, noise_conv in zip(self.upsamples, self.mrfs, self.noise_convs, strict=True):
            x = up(F.leaky_relu(x, SLOPE)) + noise_conv(source)
            x = blocks(x)
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


def source_conv(channels: int, stride: int) -> nn.Conv1d:
    """Brings the source down to a stage's rate."""
    kernel = 1 if stride == 1 else 2 * stride - stride % 2
    return nn.Conv1d(1, channels, kernel, stride=stride, padding=(kernel - stride) // 2)


class Mean(nn.ModuleList):
    """The mean of what its modules give."""

    def forward(self, x: Tensor) -> Tensor:
        outputs = [module(x) for module in self]
        total: Tensor = sum(outputs[1:], outputs[0])
        return total / len(outputs)


class MrfBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MrfLayer(channels, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MrfLayer(nn.Module):
    """A dilated and a plain convolution with a residual: [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = same_conv(channels, kernel, dilation)
        self.conv2 = same_conv(channels, kernel, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, SLOPE)), SLOPE))
        return x + inner


class HarmonicsSource(nn.Module):
    """Sines at F0 and its multiples where voiced, noise where not, mixed: [B, T] Hz -> [B, 1, T * hop]."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate, self.hop = sample_rate, hop
        self.l_linear = nn.Linear(HARMONICS, 1)

    def forward(self, f0: Tensor) -> Tensor:
        batch, length = f0.shape
        multiples = torch.arange(1, HARMONICS + 1, dtype=f0.dtype)
        cycles = (f0.unsqueeze(2) * multiples / self.sample_rate) % 1
        angle, (cosine, sine) = 2 * math.pi * held_phase(cycles, self.hop), first_phases(cycles)
        waves = (torch.sin(angle) * cosine + torch.cos(angle) * sine) * SINE_AMPLITUDE
        voiced = (f0 > 0).to(f0.dtype).unsqueeze(2).expand(batch, length, self.hop).reshape(batch, -1, 1)
        loudness = voiced * VOICED_NOISE + (1 - voiced) * (SINE_AMPLITUDE / 3)
        source = waves * voiced + loudness * torch.randn_like(waves)
        return torch.tanh(self.l_linear(source)).transpose(1, 2)


def first_phases(cycles: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the phases in which the sines begin, each [B, 1, N]: 0 for the fundamental, drawn for others.

    The angle of two normal draws is uniform, and its cosine and sine need no inverse functions.
    """
    drawn = torch.randn_like(cycles[:, :2, 1:])
    cosine, sine = (drawn / torch.sqrt((drawn * drawn).sum(1, keepdim=True))).chunk(2, dim=1)
    return F.pad(cosine, (1, 0), value=1.0), F.pad(sine, (1, 0))
