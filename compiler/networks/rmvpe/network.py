"""RMVPE as RVC uses it: a residual U-Net over a log-mel spectrum, and a recurrent layer over time.

Parameter names are those of rmvpe.pt, so that it loads as it is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.networks.mel import LogMel
from voxc.compiler.networks.recurrent import BidirectionalGru

MELS = 128
LOW, HIGH = 30.0, 8000.0  # Hz, of the mel bands
BINS = 360  # of F0, 20 cents each
POOL = 2
STEP = 32  # frames
HIDDEN = 256  # of the recurrent layer, each way
HEADS = 3  # channels that the U-Net hands on

Padding = Literal["zeros", "reflect"]


class RmvpeConfig(BaseModel):
    """The sizes of a network; the defaults are those of rmvpe.pt. Bounds keep a hostile file from asking for more."""

    model_config = ConfigDict(frozen=True)

    channels: Annotated[int, Field(ge=1, le=256)] = 16
    levels: Annotated[int, Field(ge=1, le=7)] = 5
    bottleneck: Annotated[int, Field(ge=1, le=32)] = 4
    blocks: Annotated[int, Field(ge=1, le=32)] = 4
    recurrent_layers: Annotated[int, Field(ge=1, le=8)] = 1

    @property
    def step(self) -> int:
        """What the number of frames is brought to a multiple of: 32, as in RVC, which five levels need."""
        return max(STEP, POOL**self.levels)


class Rmvpe(nn.Module):
    """Audio to salience: [B, 160 T + 864] float32 at 16 kHz -> [B, T, 360], frame n from samples 160 n to 160 n + 1023.

    `padding` is what lengthens the spectrum to whole steps of the network: zeros, as RVC WebUI has it, or its own
    reflection, as Applio does.
    """

    def __init__(self, network: RmvpeNetwork, padding: Padding = "zeros") -> None:
        super().__init__()
        self.mel = LogMel(MELS, LOW, HIGH, "htk")
        self.network, self.padding = network, padding

    def forward(self, audio: Tensor) -> Tensor:
        mel = self.mel(audio)
        frames = mel.shape[1]
        salience: Tensor = self.network(padded(mel, -frames % self.network.config.step, self.padding))
        return salience[:, :frames]


def padded(mel: Tensor, missing: int, padding: Padding) -> Tensor:
    """[B, T, M] with `missing` frames more."""
    if padding == "zeros":
        return F.pad(mel, (0, 0, 0, missing))
    return torch.cat([mel, mel[:, -1 - missing : -1].flip(1)], dim=1)


class RmvpeNetwork(nn.Module):
    """Log-mel [B, T, 128] -> salience [B, T, 360], 0 to 1; T is a multiple of the config's step."""

    def __init__(self, config: RmvpeConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config)
        self.cnn = nn.Conv2d(config.channels, HEADS, 3, padding=1)
        self.fc = nn.Sequential(
            RecurrentHead(HEADS * MELS, config.recurrent_layers),
            nn.Linear(2 * HIDDEN, BINS),
            nn.Identity(),
            nn.Sigmoid(),
        )

    def forward(self, mel: Tensor) -> Tensor:
        features: Tensor = self.cnn(self.unet(mel.unsqueeze(1)))
        return self.fc(features.transpose(1, 2).flatten(2))


class RecurrentHead(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.gru = BidirectionalGru(width, HIDDEN, layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)


class UNet(nn.Module):
    """[B, 1, T, M] -> [B, channels, T, M]."""

    def __init__(self, config: RmvpeConfig) -> None:
        super().__init__()
        widths = [config.channels << level for level in range(config.levels + 1)]
        self.encoder = Encoder(widths, config.blocks)
        self.intermediate = Intermediate(widths[-2], widths[-1], config)
        self.decoder = Decoder(widths[::-1], config.blocks)

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.encoder(x)
        return self.decoder(self.intermediate(x), skips)


class Encoder(nn.Module):
    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        pairs = zip([1, *widths], widths[:-1], strict=False)
        self.layers = nn.ModuleList(Residuals(before, width, blocks) for before, width in pairs)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, skips = self.bn(x), []
        for layer in self.layers:
            skips.append(layer(x))
            x = halved(skips[-1])
        return x, skips


def halved(x: Tensor) -> Tensor:
    """The mean of 2 x 2 neighbours, as a convolution, which every backend has."""
    channels = x.shape[1]
    return F.conv2d(x, x.new_full((channels, 1, POOL, POOL), POOL**-2), stride=POOL, groups=channels)


class Intermediate(nn.Module):
    def __init__(self, before: int, width: int, config: RmvpeConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Residuals(before if number == 0 else width, width, config.blocks) for number in range(config.bottleneck)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Residuals(nn.Module):
    def __init__(self, before: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(Block(before if number == 0 else width, width) for number in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.conv:
            x = block(x)
        return x


class Block(nn.Module):
    """Two convolutions beside a shortcut, which projects where the widths differ."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        if before != width:
            self.shortcut = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class Decoder(nn.Module):
    def __init__(self, widths: list[int], blocks: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(before, width, blocks) for before, width in pairwise(widths))

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for layer, skip in zip(self.layers, reversed(skips), strict=True):
            x = layer(x, skip)
        return x


class DecoderLayer(nn.Module):
    """Doubles time and frequency, and takes what the encoder had at that size."""

    def __init__(self, before: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.ConvTranspose2d(before, width, 3, stride=POOL, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.conv2 = nn.ModuleList(Block(2 * width if number == 0 else width, width) for number in range(blocks))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = torch.cat([self.conv1(x), skip], dim=1)
        for block in self.conv2:
            x = block(x)
        return x
