"""Log-mel spectra inside a network: the short-time Fourier transform as a convolution, which every backend has."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.networks.audio_input import SAMPLE_RATE

HOP = 160  # samples from one frame to the next
WINDOW = 1024  # samples of a frame
LOG_FLOOR = 1e-5
Scale = Literal["htk", "slaney"]

# Slaney's mel scale: linear up to 1 kHz, then 27 steps for every factor of 6.4.
SLANEY_LINEAR = 200 / 3  # Hz a mel
SLANEY_KNEE = 1000.0  # Hz
SLANEY_STEP = np.log(6.4) / 27


class LogMel(nn.Module):
    """[B, 160 T + 864] samples at 16 kHz -> natural log of mel magnitudes [B, T, bands], with a floor of 1e-5.

    Frame n is from samples 160 n to 160 n + 1023 under a periodic Hann window. `power_floor` is added to the power of
    each bin. Bands are triangles of Slaney's area. Nothing of it is in a state dict.
    """

    waves: Tensor
    triangles: Tensor

    def __init__(self, bands: int, low: float, high: float, scale: Scale, power_floor: float = 0.0) -> None:
        super().__init__()
        self.power_floor = power_floor
        self.steps = -(-WINDOW // HOP)  # hops that a frame reaches into
        self.register_buffer("waves", torch.from_numpy(windowed_waves(self.steps)), persistent=False)
        self.register_buffer("triangles", torch.from_numpy(mel_triangles(bands, low, high, scale)), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Hops become channels, so that the transform is a convolution with as few taps as hops in a frame."""
        whole = F.pad(audio, (0, self.steps * HOP - WINDOW))
        hops = whole.reshape(audio.shape[0], -1, HOP).transpose(1, 2)
        real, imaginary = F.conv1d(hops, self.waves).chunk(2, dim=1)
        magnitude = torch.sqrt(real * real + imaginary * imaginary + self.power_floor)
        return torch.log(torch.clamp(torch.matmul(magnitude.transpose(1, 2), self.triangles), min=LOG_FLOOR))


def windowed_waves(steps: int) -> np.ndarray:
    """Cosines and sines of all bins under the window, as the weight of a convolution: float32 [1026, 160, steps]."""
    time = np.arange(WINDOW)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / WINDOW)
    turns = np.outer(np.arange(WINDOW // 2 + 1), time) % WINDOW  # in integers, so that angles are exact
    angle = turns * (2 * np.pi / WINDOW)
    waves = np.concatenate([np.cos(angle), -np.sin(angle)]) * window
    whole = np.pad(waves, ((0, 0), (0, steps * HOP - WINDOW)))
    return np.ascontiguousarray(whole.reshape(-1, steps, HOP).transpose(0, 2, 1), np.float32)


def mel_triangles(bands: int, low: float, high: float, scale: Scale) -> np.ndarray:
    """Triangles of unit area in Hz between neighbours on a mel scale: float32 [513, bands]."""
    edges = hertz_of(np.linspace(mel_of(low, scale), mel_of(high, scale), bands + 2), scale)
    hertz = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)[:, np.newaxis]
    rising = (hertz - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - hertz) / np.diff(edges)[1:]
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    return (triangles * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)


def mel_of(hertz: float, scale: Scale) -> float:
    if scale == "htk":
        return float(2595 * np.log10(1 + hertz / 700))
    if hertz < SLANEY_KNEE:
        return hertz / SLANEY_LINEAR
    return float(SLANEY_KNEE / SLANEY_LINEAR + np.log(hertz / SLANEY_KNEE) / SLANEY_STEP)


def hertz_of(mel: np.ndarray, scale: Scale) -> np.ndarray:
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    knee = SLANEY_KNEE / SLANEY_LINEAR
    return np.where(mel < knee, mel * SLANEY_LINEAR, SLANEY_KNEE * np.exp(SLANEY_STEP * (mel - knee)))
