"""Operators that move, repeat and surround elements."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.padding import crops_and_pads
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight

aten = torch.ops.aten


def view(build: CoreMLBuilder, node: fx.Node, x: fx.Node, shape: list[int]) -> Var | Weight:
    weight = build.constant_of(x)
    return build.reshape(build.operand(x), build.shape) if weight is None else weight.reshape(build.shape)


def unsqueeze(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dim: int) -> Var | Weight:
    weight = build.constant_of(x)
    if weight is not None:
        return weight.reshape(build.shape)
    return build.op("expand_dims", x=build.operand(x), axes=[dim % len(build.shape)])


def squeeze(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> Var | Weight:
    given = x.meta["val"].shape
    axes = [dim % len(given) for dim in dims if given[dim] == 1]
    weight = build.constant_of(x)
    if weight is not None:
        return weight.reshape(build.shape)
    value = build.operand(x)
    return build.op("squeeze", x=value, axes=axes) if axes else value


def permute(build: CoreMLBuilder, node: fx.Node, x: fx.Node, order: list[int]) -> Var | Weight:
    order = [axis % len(order) for axis in order]
    weight = build.constant_of(x)
    return build.transpose(build.operand(x), order) if weight is None else weight.transpose(*order)


def transpose(build: CoreMLBuilder, node: fx.Node, x: fx.Node, first: int, second: int) -> Var | Weight:
    order = list(range(len(build.shape)))
    order[first], order[second] = order[second], order[first]
    return permute(build, node, x, order)


def expand(build: CoreMLBuilder, node: fx.Node, x: fx.Node, shape: list[int], implicit: bool) -> Var | Weight:
    weight = build.constant_of(x)
    if weight is not None and weight.scale is None:
        return Weight(weight.name, np.broadcast_to(weight.array, build.shape))
    value = build.operand(x)
    value = build.reshape(value, (*[1] * (len(build.shape) - value.rank), *value.shape))
    times = [size // given for size, given in zip(build.shape, value.shape, strict=True)]
    return value if set(times) == {1} else build.op("tile", x=value, reps=times)


def flip(build: CoreMLBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> Var:
    return build.op("reverse", x=build.operand(x), axes=[dim % len(build.shape) for dim in dims])


def cat(build: CoreMLBuilder, node: fx.Node, parts: list[fx.Node], dim: int) -> Var:
    dtype = node.meta["val"].dtype
    values = [build.operand(each, dtype) for each in parts]
    return build.op("concat", values=values, axis=dim % len(build.shape))


def pad(build: CoreMLBuilder, node: fx.Node, x: fx.Node, padding: list[int], filler: float) -> Var:
    value = build.operand(x)
    crops, pads = crops_and_pads(padding, value.rank)
    for axis, (before, after) in enumerate(crops):
        value = build.slice(value, axis, before, value.shape[axis] - after)
    return build.pad(value, pads, filler)


LOWERINGS: Lowerings = {
    aten.view.default: view,
    aten._unsafe_view.default: view,
    aten.reshape.default: view,
    aten.permute.default: permute,
    aten.transpose.int: transpose,
    aten.unsqueeze.default: unsqueeze,
    aten.squeeze.dims: squeeze,
    aten.expand.default: expand,
    aten.flip.default: flip,
    aten.cat.default: cat,
    aten.constant_pad_nd.default: pad,
}
