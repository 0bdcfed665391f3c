"""Convolutions: how a kernel walks over space, and formats that have their channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.layout import to_channels_first, to_channels_last
from voxc.backends.lowering.static import StaticBuilder
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators


@dataclass(frozen=True)
class Geometry:
    """How a kernel walks over space, with one number for each axis of it; fields as in `aten.convolution`."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int

    @classmethod
    def of(
        cls, axes: int, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], transposed: bool,
        output_padding: Sequence[int], groups: int,
    ) -> Geometry:  # fmt: skip
        """Of ATen's arguments, where a single number may stand for all axes."""

        def each(values: Sequence[int]) -> tuple[int, ...]:
            return tuple(values) * axes if len(values) < axes else tuple(values)

        return cls(each(stride), each(padding), each(dilation), transposed, each(output_padding), groups)

    def planar(self) -> Geometry:
        """The same walk along the width of a plane with a height of 1."""
        return replace(
            self, stride=(1, *self.stride), padding=(0, *self.padding), dilation=(1, *self.dilation),
            output_padding=(0, *self.output_padding),
        )  # fmt: skip


#: `(build, x [B, *S, I], kernel [O, *K, I / groups], bias, geometry, shape)` -> the result, of `shape` [B, *S', O].
ChannelsLast = Callable[[Any, Any, Weight, "fx.Node | None", Geometry, Sequence[int]], Any]


def convolutions(channels_last: ChannelsLast) -> Lowerings:
    """Lowerings of both convolutions, ATen's and voxc's with channels last, in a format that has the latter alone."""

    def first(
        build: StaticBuilder[Any], node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, *arguments: Any
    ) -> Any:
        """Between two transpositions. Weights [O, I / groups, *K], or [I, O / groups, *K] if transposed."""
        kernel = constant_kernel(build, weight)
        rank = len(kernel.shape)
        geometry = Geometry.of(rank - 2, *arguments)
        turned = build.transpose(build.operand(x), to_channels_last(rank))
        shape = [build.shape[axis] for axis in to_channels_last(rank)]
        result = channels_last(build, turned, kernel_channels_last(kernel, geometry), bias, geometry, shape)
        return build.transpose(result, to_channels_first(rank))

    def last(
        build: StaticBuilder[Any], node: fx.Node, x: fx.Node, weight: fx.Node, bias: fx.Node | None, *arguments: Any
    ) -> Any:
        kernel = constant_kernel(build, weight)
        geometry = Geometry.of(len(kernel.shape) - 2, *arguments)
        return channels_last(build, build.operand(x), kernel, bias, geometry, build.shape)

    return {torch.ops.aten.convolution.default: first, torch.ops.voxc.conv_channels_last.default: last}


def constant_kernel(build: StaticBuilder[Any], node: fx.Node) -> Weight:
    kernel = build.constant_of(node)
    if kernel is None:
        raise build.refuse(f"the weights {node.name} are computed; only constant weights have a lowering")
    if len(kernel.shape) not in (3, 4):
        raise build.refuse(f"weights of rank {len(kernel.shape)}; convolutions over one or two axes have a lowering")
    return kernel


def kernel_channels_last(kernel: Weight, geometry: Geometry) -> Weight:
    """ATen's kernel as [O, *K, I / groups]."""
    space = range(2, len(kernel.shape))
    if not geometry.transposed:
        return kernel.transpose(0, *space, 1)
    if geometry.groups == 1:
        return kernel.transpose(1, *space, 0)
    parts = [part.transpose(1, *space, 0) for part in np.split(kernel.array, geometry.groups)]
    return Weight(kernel.name, np.concatenate(parts))
