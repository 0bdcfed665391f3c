"""How numbers become integers: the steps that cover a range, and those of weights and biases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.core.ops import LIMITS
from voxc.compiler.core.plan import Range
from voxc.compiler.core.target import Scheme

WEIGHT_LIMIT = 127
# A bias is at most this many steps, so that what is added to it still fits in 32 bits.
BIAS_LIMIT = 1 << 30
# Narrower tensors are constants, and any scale does.
LEAST_SCALE = 1e-20
# Kernels with a limit on pairs multiply unsigned activations; signed ones are moved up by 128.
LARGEST_ACTIVATION = 255
# Of the steps that two weights may have together: both may be rounded up by a half.
PAIR_MARGIN = 1e-3


@dataclass(frozen=True)
class Steps:
    """How a tensor is stored in integers: (q - zero_point) * scale."""

    scale: float
    zero_point: int
    dtype: torch.dtype

    @property
    def is_positive(self) -> bool:
        return self.zero_point == LIMITS[self.dtype][0]

    @classmethod
    def covering(cls, bounds: Range, scheme: Scheme) -> Steps:
        """The finest steps that reach both bounds and zero, by a target's scheme."""
        dtype = getattr(torch, scheme.activations)
        least, most = LIMITS[dtype]
        low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
        if scheme.symmetric:
            high = max(-low, high)
            scale, zero_point = high / (most - (least + most + 1) // 2), (least + most + 1) // 2
        else:
            scale = (high - low) / (most - least)
            zero_point = round(least - low / scale) if scale > LEAST_SCALE else least
        scale = single(scale) if scale > LEAST_SCALE else 1.0
        return cls(scale, min(max(zero_point, least), most), dtype)


def single(value: float) -> float:
    """The nearest float32, which is what runtimes store scales in."""
    return torch.tensor(value, dtype=torch.float32).item()


def weight_scales(
    weight: Tensor,
    axis: int,
    inputs: int,
    bias: Tensor | None = None,
    step: float = 1.0,
    pair_limit: int | None = None,
) -> Tensor:
    """The scale of each output channel [channels] float32: its largest weight is 127 steps.

    `axis` is that of the output channels, `inputs` that of the input channels. Wider where two neighbouring products
    could else exceed `pair_limit`, or a bias would not fit into 32 bits in steps of weight times activation (`step`).
    """
    others = [other for other in range(weight.dim()) if other != axis]
    scales = weight.detach().abs().amax(others).double() / WEIGHT_LIMIT
    if pair_limit is not None:
        most = pair_limit // LARGEST_ACTIVATION - PAIR_MARGIN
        scales = torch.maximum(scales, largest_pairs(weight.detach().double(), axis, inputs) / most)
    if bias is not None:
        largest = bias.detach().abs().double().reshape(-1, scales.numel()).amax(0)
        scales = torch.maximum(scales, largest / (step * BIAS_LIMIT))
    return torch.where(scales > LEAST_SCALE, scales, 1.0).to(torch.float32)


def largest_pairs(weight: Tensor, axis: int, inputs: int) -> Tensor:
    """The largest sum that two neighbouring weights of one sign have, for each output channel [channels].

    Neighbours are those that kernels add up first: two by two, the weights of one output in the order of taps, and
    within a tap of input channels. Activations are unsigned, so two weights of opposite signs never reach further than
    the larger of them.
    """
    rows = weight.movedim((axis, inputs), (0, -1)).flatten(1)
    pairs = functional.pad(rows, (0, rows.shape[1] % 2)).reshape(len(rows), -1, 2)
    return torch.maximum(pairs.clamp(min=0).sum(2), -pairs.clamp(max=0).sum(2)).amax(1)


def along(vector: Tensor, axis: int, rank: int) -> Tensor:
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)
