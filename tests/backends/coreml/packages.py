"""Networks that are none of ours, and the packages that coremltools' own converter makes of them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from voxc.backends.coreml.sdk import ct, quiet

Shape = tuple[int, ...]


class ConvNet(nn.Module):
    """Strided, grouped and dilated convolutions, batch norm, pools, and a classifier at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU6(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16), nn.Conv2d(16, 32, 1), nn.Hardswish(),
            nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(32, 32, (1, 5), padding="same"), nn.PReLU(32),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.head(self.features(x)), -1)


class Transformer(nn.Module):
    """Token and place embeddings, two layers of attention with a causal mask, a head over the vocabulary."""

    def __init__(self, size: int = 32, vocabulary: int = 50, length: int = 12) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, size), nn.Embedding(length, size)
        self.layers = nn.ModuleList(Block(size) for _ in range(2))
        self.head = nn.Linear(size, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        signal = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for layer in self.layers:
            signal = layer(signal)
        return self.head(signal)


class Block(nn.Module):
    def __init__(self, size: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(size), nn.LayerNorm(size)
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.wide, self.back = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, size = x.shape
        q, k, v = (
            part.reshape(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.before(x)).chunk(3, -1)
        )
        scores = q @ k.transpose(-1, -2) / (size // self.heads) ** 0.5
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, size)
        x = x + self.out(mixed)
        return x + self.back(nn.functional.gelu(self.wide(self.between(x))))


class Recurrent(nn.Module):
    """A bidirectional LSTM of two layers, and a GRU behind it, which coremltools makes a loop of."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(24, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(self.lstm(x)[0])[0]


class UNet(nn.Module):
    """Down by strides, up by a transposed convolution and by resizing, with joins across, and group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.down = nn.Sequential(nn.Conv2d(8, 16, 4, 2, 1), nn.InstanceNorm2d(16, affine=True), nn.LeakyReLU(0.2))
        self.deep = nn.Sequential(nn.Conv2d(16, 32, 4, 2, 1), nn.ELU())
        self.up = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.leave = nn.Conv2d(24, 2, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        first = self.enter(x)
        second = self.down(first)
        up = nn.functional.interpolate(
            self.up(self.deep(second)) * second.sigmoid(), scale_factor=2, mode="bilinear", align_corners=False
        )
        return torch.tanh(self.leave(torch.cat([up, first], 1)))


class Vocoder(nn.Module):
    """Upsampling in one dimension, as vocoders do, with a sine source whose phase must be float32."""

    def __init__(self) -> None:
        super().__init__()
        self.source = nn.Conv1d(1, 8, 9, padding=4)
        self.up = nn.ConvTranspose1d(8, 8, 8, stride=4, padding=2)
        self.deep = nn.Conv1d(8, 8, 7, padding=9, dilation=3)
        self.leave = nn.Conv1d(8, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        source = torch.sin(2 * torch.pi * torch.cumsum(x * 0.01, -1))
        up = self.up(nn.functional.leaky_relu(self.source(source), 0.1))
        return torch.tanh(self.leave(up + self.deep(nn.functional.leaky_relu(up, 0.1))))


def integers(shape: Shape, seed: int, size: int) -> Tensor:
    return torch.randint(0, size, shape, generator=torch.Generator().manual_seed(seed)).to(torch.int32)


def reals(shape: Shape, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(kind: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    """A network with fixed weights, and an input for it."""
    torch.manual_seed(0)
    shapes: dict[type[nn.Module], Shape] = {
        ConvNet: (1, 3, 32, 40), Recurrent: (1, 7, 8), UNet: (1, 2, 16, 24), Vocoder: (1, 1, 40),
    }  # fmt: skip
    if kind is Transformer:
        return kind().eval(), integers((1, 12), 1, 50)
    return kind().eval(), reals(shapes[kind], 1)


def convert(module: nn.Module, x: Tensor, opset: str = "iOS17", half: bool = False, shape: Any = None) -> Any:
    """What coremltools' own converter makes of a network."""
    with torch.no_grad(), quiet(), mock.patch.object(gc, "collect"):
        traced = torch.jit.trace(module, x)
        dtype = {torch.float32: "float32", torch.int32: "int32"}[x.dtype]
        return ct.convert(
            traced,
            inputs=[ct.TensorType(name="x", shape=shape or tuple(x.shape), dtype=getattr(__import__("numpy"), dtype))],
            outputs=[ct.TensorType(name="y")],
            minimum_deployment_target=ct.target[opset],
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
        )


def save(model: Any, folder: Path) -> Path:
    package = folder / "model.mlpackage"
    with quiet():
        model.save(str(package))
    return package
