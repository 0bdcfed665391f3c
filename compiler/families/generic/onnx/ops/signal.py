"""Fourier transforms as products with constant matrices, and windows."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row
from voxc.compiler.families.generic.onnx.ops.sources import gives

MAX_MATRIX = 1 << 26


def waves(call: Call, length: int, bins: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi n k / length as [length, bins]; the angle is reduced in integers, so that it is exact."""
    if length * bins > MAX_MATRIX:
        raise call.refuse(f"a transform of {length} points is too long")
    turns = (torch.arange(length)[:, None] * torch.arange(bins)[None, :]) % length
    angle = turns.double() * (2 * math.pi / length)
    return torch.cos(angle).float(), torch.sin(angle).float()


def stft(call: Call) -> Function:
    """Signal [B, T, 1] to [B, frames, bins, 2], as a convolution with windowed waves."""
    if call.rank() == 3 and call.shape()[2] != 1:
        raise call.refuse("only real signals are supported")
    hop = call.integers(1, "step")[0]
    window = call.static(2, "window") if call.has(2) else None
    length = call.integers(3, "length")[0] if call.has(3) else (0 if window is None else len(window))
    if length < 1 or hop < 1:
        raise call.refuse(f"frames of {length} samples every {hop}")
    bins = length // 2 + 1 if call.attribute("onesided", 1) else length
    cosine, sine = waves(call, length, bins)
    taper = torch.ones(length) if window is None else window.float()
    kernel = (torch.cat([cosine, -sine], 1) * taper[:, None]).t().contiguous().unsqueeze(1)
    batch = call.shape()[0]

    def run(x: Tensor, *_: object) -> Tensor:
        spectrum = functional.conv1d(x.reshape(batch, 1, -1), kernel, stride=hop)
        return spectrum.reshape(batch, 2, bins, -1).permute(0, 3, 2, 1)

    return run


def dft(call: Call) -> Function:
    """Along one axis of [..., 1 or 2], a real or a complex signal."""
    axis = call.attribute("axis", 1)
    if call.opset >= 20:
        axis = call.integers(2, "axis")[0] if call.has(2) else -2
    axis, rank = call.axis(axis), call.rank()
    shape, backward = call.shape(), bool(call.attribute("inverse", 0))
    length = call.integers(1, "length")[0] if call.has(1) else shape[axis]
    if length != shape[axis]:
        raise call.refuse("lengths other than that of the signal are not supported")
    onesided = bool(call.attribute("onesided", 0))
    if onesided and backward:
        raise call.refuse("the inverse of half a spectrum is not supported")
    cosine, sine = waves(call, length, length // 2 + 1 if onesided else length)
    sine = sine if backward else -sine
    scale = 1 / length if backward else 1.0
    complex_signal = shape[-1] == 2

    def along(x: Tensor, matrix: Tensor) -> Tensor:
        return (x.movedim(axis, -1) @ matrix).movedim(-1, axis)

    def run(x: Tensor, *_: object) -> Tensor:
        real = x.select(rank - 1, 0)
        parts = [along(real, cosine), along(real, sine)]
        if complex_signal:
            imaginary = x.select(rank - 1, 1)
            parts = [parts[0] - along(imaginary, sine), parts[1] + along(imaginary, cosine)]
        whole = torch.stack(parts, -1)
        return whole if scale == 1 else whole * scale

    return run


def window(terms: tuple[float, ...]) -> Row:
    """A sum of cosines."""

    def row(call: Call) -> Function:
        size = call.integers(0, "size")[0]
        call.bounded([size])
        length = size if call.attribute("periodic", 1) else size - 1
        angle = torch.arange(size).double() * (2 * math.pi / max(1, length))
        total = torch.zeros(size, dtype=torch.float64)
        for order, term in enumerate(terms):
            total += (-1) ** order * term * torch.cos(order * angle)
        return gives(total.float())

    return row


ROWS: dict[str, Row] = {
    "STFT": stft,
    "DFT": dft,
    "HannWindow": window((0.5, 0.5)),
    "HammingWindow": window((25 / 46, 21 / 46)),
    "BlackmanWindow": window((0.42, 0.5, 0.08)),
}
