"""HiFi-GAN generator (Kong et al., 2020) with the neural source-filter excitation (Wang et al., 2019) of RVC."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.families.rvc.config import RvcConfig
from voxc.compiler.families.rvc.convolution import WeightNormConv1d, WeightNormConvTranspose1d

SLOPE = 0.1
SINE_AMPLITUDE = 0.1
VOICED_NOISE = 0.003


class Generator(nn.Module):
    """Latent frames to audio: [B, inter, T] -> [B, 1, T * prod(upsample_rates)], in [-1, 1].

    With a `sample_rate` the generator is RVC's NSF variant and mixes a harmonic source into every stage.
    """

    def __init__(
        self,
        inter_channels: int,
        resblock: str,
        resblock_kernels: Sequence[int],
        resblock_dilations: Sequence[Sequence[int]],
        upsample_rates: Sequence[int],
        upsample_channels: int,
        upsample_kernels: Sequence[int],
        gin_channels: int,
        sample_rate: int | None,
    ) -> None:
        super().__init__()
        block = {"1": ResBlock1, "2": ResBlock2}[resblock]
        widths = [upsample_channels >> (stage + 1) for stage in range(len(upsample_rates))]
        self.conv_pre = nn.Conv1d(inter_channels, upsample_channels, 7, padding=3)
        self.cond = nn.Conv1d(gin_channels, upsample_channels, 1)
        self.ups = nn.ModuleList(
            WeightNormConvTranspose1d(2 * width, width, kernel, rate, padding=(kernel - rate) // 2)
            for width, rate, kernel in zip(widths, upsample_rates, upsample_kernels, strict=True)
        )
        self.kernels = len(resblock_kernels)
        self.resblocks = nn.ModuleList(
            block(width, kernel, dilations)
            for width in widths
            for kernel, dilations in zip(resblock_kernels, resblock_dilations, strict=True)
        )
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=False)
        if sample_rate is not None:
            self.m_source = HarmonicSource(sample_rate, math.prod(upsample_rates))
            self.noise_convs = nn.ModuleList(
                source_conv(width, math.prod(upsample_rates[stage + 1 :])) for stage, width in enumerate(widths)
            )

    def forward(self, x: Tensor, speaker: Tensor, f0: Tensor | None) -> Tensor:
        """x: [B, inter, T]; speaker: [B, gin_channels, 1]; f0: [B, T] Hz, for the NSF variant."""
        source = None if f0 is None else self.m_source(f0)
        x = self.conv_pre(x) + self.cond(speaker)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            if source is not None:
                x = x + self.noise_convs[stage](source)
            blocks = self.resblocks[stage * self.kernels : (stage + 1) * self.kernels]
            outputs = [block(x) for block in blocks]
            x = sum(outputs[1:], outputs[0]) / self.kernels
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


def hifi_gan(config: RvcConfig) -> Generator:
    """The generator of a voice, with a harmonic source if the voice uses F0."""
    return Generator(
        config.inter_channels,
        config.resblock,
        config.resblock_kernel_sizes,
        config.resblock_dilation_sizes,
        config.upsample_rates,
        config.upsample_initial_channel,
        config.upsample_kernel_sizes,
        config.gin_channels,
        config.sample_rate if config.f0 else None,
    )


def source_conv(channels: int, stride: int) -> nn.Conv1d:
    """Brings the sample-rate source down to a stage's rate; the last stage is already there."""
    if stride == 1:
        return nn.Conv1d(1, channels, 1)
    return nn.Conv1d(1, channels, 2 * stride, stride=stride, padding=stride // 2)


class HarmonicSource(nn.Module):
    """A sine at F0 where voiced, Gaussian noise where not: [B, T] Hz -> [B, 1, T * hop]."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop = hop
        self.l_linear = nn.Linear(1, 1)

    def forward(self, f0: Tensor) -> Tensor:
        cycles = (f0 / self.sample_rate) % 1
        sine = torch.sin(2 * math.pi * self.accumulate(cycles)) * SINE_AMPLITUDE
        voiced = self.hold((f0 > 0).to(f0.dtype))
        noise_amplitude = voiced * VOICED_NOISE + (1 - voiced) * (SINE_AMPLITUDE / 3)
        source = sine * voiced + noise_amplitude * torch.randn_like(sine)
        return torch.tanh(self.l_linear(source)).transpose(1, 2)

    def accumulate(self, cycles: Tensor) -> Tensor:
        """Phase in cycles at each sample, up to whole cycles: [B, T] cycles per sample -> [B, T * hop, 1].

        As the reference does it, an interpolated frame-rate phase tells about where the sum passes a whole cycle,
        and one is taken off there, so that the running sum stays small enough for float32.
        """
        coarse = F.interpolate(
            (torch.cumsum(cycles, 1) * self.hop).unsqueeze(1),
            scale_factor=float(self.hop), mode="linear", align_corners=True,
        ).transpose(1, 2) % 1  # fmt: skip
        wraps = F.pad((coarse[:, 1:] < coarse[:, :-1]).to(cycles.dtype), (0, 0, 1, 0))
        return torch.cumsum(self.hold(cycles) - wraps, 1)

    def hold(self, frames: Tensor) -> Tensor:
        """Repeats each frame for its samples: [B, T] -> [B, T * hop, 1]."""
        batch, length = frames.shape
        return frames.unsqueeze(-1).expand(batch, length, self.hop).reshape(batch, length * self.hop, 1)


def same_conv(channels: int, kernel: int, dilation: int) -> nn.Module:
    padding = dilation * (kernel - 1) // 2
    return WeightNormConv1d(channels, channels, kernel, dilation=dilation, padding=padding)


class ResBlock1(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair with a residual: [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], slope: float = SLOPE) -> None:
        super().__init__()
        self.slope = slope
        self.convs1 = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, self.slope)), self.slope))
        return x


class ResBlock2(nn.Module):
    """Dilated convolutions, each with a residual: [B, C, T] -> [B, C, T]."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, SLOPE))
        return x
