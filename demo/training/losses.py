"""How far a voice's spectra are from what they should be, and the adversarial losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RESOLUTIONS = ((1024, 160, 640), (512, 80, 320), (256, 40, 160))  # FFT, hop, window
FLOOR = 1e-4
MELS, MEL_FFT = 64, 1024


def magnitudes(audio: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """audio [B, samples] -> [B, bins, frames]."""
    shape = torch.hann_window(window, device=audio.device)
    spectrum = torch.stft(audio, fft, hop, window, shape, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()


def mel_bands(rate: int = 16000) -> Tensor:
    """Triangles on the HTK mel scale, each of unit area: [MELS, bins]."""
    highest = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700))
    corners = 700 * (10 ** (torch.linspace(0, float(highest), MELS + 2) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, MEL_FFT // 2 + 1)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return triangles / triangles.sum(1, keepdim=True).clamp(min=1e-6)


MEL_BANDS = mel_bands()


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """Log mel distance at one resolution, log magnitude and linear distance at three; both [B, samples]."""
    total = made.new_zeros(())
    for fft, hop, window in RESOLUTIONS:
        ours, theirs = magnitudes(made, fft, hop, window), magnitudes(real, fft, hop, window)
        total = total + F.l1_loss((ours + FLOOR).log(), (theirs + FLOOR).log())
        total = total + 0.5 * (ours - theirs).norm() / theirs.norm().clamp(min=1e-3)
        if fft == MEL_FFT:
            bands = MEL_BANDS.to(made.device)
            total = total + 3 * F.l1_loss((bands @ ours + FLOOR).log(), (bands @ theirs + FLOOR).log())
    return total


def judge_loss(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Least squares (Mao et al., 2017): the discriminators want ones for real and zeros for made."""
    return sum(((1 - r).square().mean() + m.square().mean() for r, m in zip(real, made, strict=True)), torch.zeros(()))


def deceive_loss(made: list[Tensor]) -> Tensor:
    return sum(((1 - m).square().mean() for m in made), torch.zeros(()))


def feature_loss(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """Distance inside the discriminators (Kumar et al., 2019), relative to the size of what is inside."""
    pairs = [(r, m) for rs, ms in zip(real, made, strict=True) for r, m in zip(rs, ms, strict=True)]
    return sum(((m - r.detach()).abs().mean() / r.detach().abs().mean() for r, m in pairs), torch.zeros(()))
