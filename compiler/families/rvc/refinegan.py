"""Applio's "RefineGAN" (after Xu et al., 2021): a sine that is refined from the rate of audio down and up again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.families.rvc.config import RvcConfig
from voxc.compiler.families.rvc.convolution import WeightNormConv1d
from voxc.compiler.families.rvc.frame_phase import gliding, gliding_phase, sines
from voxc.compiler.families.rvc.generator import SINE_AMPLITUDE, VOICED_NOISE, ResBlock1
from voxc.compiler.families.rvc.mrf import Mean

SLOPE = 0.2
FIRST = 16  # channels of the source at the rate of audio; they double at each step down
WIDTH = 512  # channels that the way up begins with, whatever the config says
SPEAKER = 256  # its width, too
KERNELS, DILATIONS = (3, 7, 11), (1, 3, 5)
# The low pass before each step down: torchaudio's windowed sinc with a Kaiser window.
ZEROS, ROLLOFF, BETA = 64, 0.9475937167399596, 14.769656459379492


class RefineGenerator(nn.Module):
    """Latent frames to audio: [B, inter, T] -> [B, 1, T * hop], in [-1, 1]."""

    def __init__(self, config: RvcConfig) -> None:
        super().__init__()
        rates = config.upsample_rates
        widths = [FIRST << step for step in range(len(rates) + 1)]
        self.m_source = SineSource(config.sample_rate, config.hop)
        self.pre_conv = conv(1, FIRST)
        self.downsample_blocks = nn.ModuleList(conv(one, other) for one, other in pairwise(widths))
        self.low_passes = [LowPass(width, rate) for width, rate in zip(widths[:-1], reversed(rates), strict=True)]
        self.mel_conv = conv(config.inter_channels, WIDTH // 2)
        self.cond = nn.Conv1d(SPEAKER, WIDTH // 2, 1)
        self.rates = rates
        self.upsample_conv_blocks = nn.ModuleList(
            ParallelBlocks((WIDTH >> step) + (WIDTH >> (step + 2)), WIDTH >> (step + 1)) for step in range(len(rates))
        )
        self.conv_post = WeightNormConv1d(WIDTH >> len(rates), 1, 7, padding=3)
        self.conv_post.register_parameter("bias", None)

    def forward(self, x: Tensor, speaker: Tensor, f0: Tensor) -> Tensor:
        """x: [B, inter, T]; speaker: [B, 256, 1]; f0: [B, T] Hz."""
        source = self.pre_conv(self.m_source(f0))
        skips = []
        for low_pass, down in zip(self.low_passes, self.downsample_blocks, strict=True):
            skips.append(F.leaky_relu(source, SLOPE))
            source = down(low_pass(skips[-1]))
        x = torch.cat([self.mel_conv(x) + self.cond(speaker), source], dim=1)
        for rate, skip, blocks in zip(self.rates, reversed(skips), self.upsample_conv_blocks, strict=True):
            x = blocks(torch.cat([gliding(F.leaky_relu(x, SLOPE), rate), skip], dim=1))
        return torch.tanh(self.conv_post(F.leaky_relu(x, SLOPE)))


def conv(before: int, after: int) -> WeightNormConv1d:
    return WeightNormConv1d(before, after, 7, padding=3)


class SineSource(nn.Module):
    """A sine that glides from frame to frame where voiced, noise where not: [B, T] Hz -> [B, 1, T * hop]."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate, self.hop = sample_rate, hop
        self.merge = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Tanh())

    def forward(self, f0: Tensor) -> Tensor:
        sine = sines(gliding_phase(f0 / self.sample_rate, self.hop)).unsqueeze(2) * SINE_AMPLITUDE
        voiced = (gliding(f0, self.hop) > 0).to(f0.dtype).unsqueeze(2)
        loudness = voiced * VOICED_NOISE + (1 - voiced) * (SINE_AMPLITUDE / 3)
        merged: Tensor = self.merge(sine * voiced + loudness * torch.randn_like(sine))
        return merged.transpose(1, 2)


class LowPass:
    """Every `rate`-th sample of each channel, without what lies above half the new rate: [B, C, n] -> [B, C, n / rate].

    Its weights are constants of the formula, and no parameters.
    """

    def __init__(self, channels: int, rate: int) -> None:
        self.channels, self.rate = channels, rate
        self.reach = math.ceil(ZEROS * rate / ROLLOFF)
        self.kernel = torch.from_numpy(sinc_kernel(rate, self.reach))

    def __call__(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (self.reach, self.reach))
        weight = self.kernel.expand(self.channels, 1, -1).contiguous()
        return F.conv1d(padded, weight, stride=self.rate, groups=self.channels)


def sinc_kernel(rate: int, reach: int) -> np.ndarray:
    """A sinc under a Kaiser window, float32 [2 * reach + rate]."""
    time = np.arange(-reach, reach + rate) / rate * ROLLOFF
    time = np.clip(time, -ZEROS, ZEROS)
    window = np.i0(BETA * np.sqrt(1 - (time / ZEROS) ** 2)) / np.i0(BETA)
    return (np.sinc(time) * window * ROLLOFF / rate).astype(np.float32)


class ParallelBlocks(nn.Module):
    """The mean of residual blocks of several kernels, each between two draws of noise."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.input_conv = nn.Conv1d(before, width, 7, padding=3)
        self.blocks = Mean(noisy(width, kernel, DILATIONS) for kernel in KERNELS)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = self.blocks(self.input_conv(x))
        return mean


def noisy(width: int, kernel: int, dilations: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(AddedNoise(width), ResBlock1(width, kernel, dilations, SLOPE), AddedNoise(width))


class AddedNoise(nn.Module):
    """Adds noise to each channel, as loud as was learnt, at inference too. Applio calls it AdaIN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + torch.randn_like(x) * self.weight.reshape(1, -1, 1), SLOPE)


def noise_shapes(config: RvcConfig) -> list[tuple[int, int]]:
    """Channels and samples a frame of the draws of `AddedNoise`, in the order drawn."""
    shapes = []
    for step in range(len(config.upsample_rates)):
        shape = WIDTH >> (step + 1), math.prod(config.upsample_rates[: step + 1])
        shapes += [shape] * (2 * len(KERNELS))
    return shapes
