"""Layer norm and group norm."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.table import Lowerings

aten = torch.ops.aten
voxc = torch.ops.voxc


def layer_norm(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, shape: list[int], weight: fx.Node | None, bias: fx.Node | None,
    epsilon: float,
) -> list[Var | None]:  # fmt: skip
    """Only the normalised output: the mean and deviation that ATen also gives serve training."""
    rank = x.meta["val"].dim()
    gamma, beta = (None if each is None else build.operand(each) for each in (weight, bias))
    normed = build.op(
        "layer_norm", x=build.operand(x), axes=list(range(rank - len(shape), rank)), gamma=gamma, beta=beta,
        epsilon=build.scalar(epsilon),
    )  # fmt: skip
    return [normed, None, None]


def layer_norm_channels(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, weight: fx.Node | None, bias: fx.Node | None, epsilon: float
) -> Var:
    gamma, beta = (None if each is None else build.operand(each) for each in (weight, bias))
    return build.op("layer_norm", x=build.operand(x), axes=[1], gamma=gamma, beta=beta, epsilon=build.scalar(epsilon))


def group_norm(
    build: CoreMLBuilder, node: fx.Node, x: fx.Node, weight: fx.Node | None, bias: fx.Node | None,
    batch: int, channels: int, length: int, groups: int, epsilon: float,
) -> list[Var | None]:  # fmt: skip
    """A group for each channel is what MIL calls instance norm; others are rows of a layer norm."""
    value = build.operand(x)
    sizes = tuple(value.shape)
    if groups == channels and len(sizes) in (3, 4):
        gamma, beta = (None if each is None else build.operand(each) for each in (weight, bias))
        normed = build.op("instance_norm", x=value, gamma=gamma, beta=beta, epsilon=build.scalar(epsilon))
        return [normed, None, None]
    rows = build.reshape(value, (batch, groups, channels // groups * length))
    normed = build.reshape(build.op("layer_norm", x=rows, axes=[2], epsilon=build.scalar(epsilon)), sizes)
    for kind, factor in (("mul", weight), ("add", bias)):
        if factor is not None:
            constant = build.constant_of(factor)
            if constant is None:
                raise build.refuse("weight and bias must be constants")
            along = constant.reshape((channels, *[1] * (len(sizes) - 2)))
            normed = build.op(kind, x=normed, y=build.store(along, build.real))
    return [normed, None, None]


LOWERINGS: Lowerings = {
    voxc.layer_norm_channels.default: layer_norm_channels,
    aten.native_layer_norm.default: layer_norm,
    aten.native_group_norm.default: group_norm,
}
