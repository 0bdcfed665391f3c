"""Small discriminators: on the waveform folded at several periods, and on spectra at several resolutions."""

from __future__ import annotations

from itertools import pairwise

import torch
from losses import magnitudes
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7)
RESOLUTIONS = ((1024, 160, 640), (512, 80, 320), (256, 40, 160))
SLOPE = 0.1


class Discriminators(nn.Module):
    """audio [B, 1, samples] -> scores and the activations on the way, one list entry a discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.judges = nn.ModuleList([*(PeriodJudge(p) for p in PERIODS), *(SpectrumJudge(r) for r in RESOLUTIONS)])

    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        with torch.autocast("cpu", torch.bfloat16):
            verdicts = [judge(audio) for judge in self.judges]
        return [activations[-1].float() for activations in verdicts], [activations[:-1] for activations in verdicts]


class PeriodJudge(nn.Module):
    """HiFi-GAN's view (Kong et al., 2020): one column for each sample of a period."""

    def __init__(self, period: int, widths: tuple[int, ...] = (1, 16, 32, 64, 96)) -> None:
        super().__init__()
        self.period = period
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0))) for a, b in pairwise(widths)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> list[Tensor]:
        x = F.pad(audio, (0, -audio.shape[-1] % self.period), mode="reflect")
        x = x.view(x.shape[0], 1, -1, self.period)
        return judged(x, self.layers, self.score)


class SpectrumJudge(nn.Module):
    """UnivNet's view (Jang et al., 2021): the magnitudes of the short-time spectrum."""

    def __init__(self, resolution: tuple[int, int, int], width: int = 16) -> None:
        super().__init__()
        self.resolution = resolution
        steps = ((1, (2, 1)), (width, (2, 1)), (width, (2, 1)), (width, (2, 2)))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(channels, width, (5, 3), stride, padding=(2, 1))) for channels, stride in steps
        )
        self.score = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> list[Tensor]:
        spectrum = (magnitudes(audio.squeeze(1).float(), *self.resolution) + 1e-3).log().unsqueeze(1)
        return judged(spectrum, self.layers, self.score)


def judged(x: Tensor, layers: nn.ModuleList, score: nn.Module) -> list[Tensor]:
    activations: list[Tensor] = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        activations.append(x)
    return [*activations, torch.flatten(score(x), 1)]
