"""Operators that sum up axes or rank what is along them."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.mlx.builder import MlxBuilder
from voxc.backends.mlx.statements import INDEX, Call, Value

aten = torch.ops.aten


def reduction(function: str) -> Lowering:
    """No axes at all means every axis. In float32 also where the result is float16: a sum need not fit into that."""

    def lower(
        build: MlxBuilder, node: fx.Node, x: fx.Node, axes: list[int] | None, keep: bool = False, _: object = None
    ) -> Value:
        inside = "float32" if build.dtype == "float16" else build.dtype
        value = build.value(x, inside)
        rank = len(value.shape)
        places = tuple(axis % rank for axis in axes or range(rank))
        return build.cast(build.call(function, value, axis=places, keepdims=keep, dtype=inside), build.dtype)

    return lower


def topk(
    build: MlxBuilder, node: fx.Node, x: fx.Node, count: int, axis: int, largest: bool, in_order: bool
) -> list[Value]:
    """Values and their places, in order always."""
    value = build.value(x)
    axis %= len(value.shape)
    shape = (*value.shape[:axis], count, *value.shape[axis + 1 :])
    ranked = Call("mx.argsort", (Call("mx.negative", (value,)) if largest else value,), {"axis": axis})
    places = build.call(INDEX, ranked, *[slice(None)] * axis, slice(count), shape=shape, dtype="uint32", stem="places")
    values = build.call("mx.take_along_axis", value, places, shape=shape, dtype=value.dtype, axis=axis)
    return [values, build.cast(places, "int64")]


def softmax(build: MlxBuilder, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> Value:
    """With sums in float32 also where the values are float16."""
    return build.call("mx.softmax", build.value(x), axis=dim, precise=True)


def cumsum(build: MlxBuilder, node: fx.Node, x: fx.Node, dim: int, dtype: object) -> Value:
    return build.call("mx.cumsum", build.value(x, build.dtype), axis=dim % len(build.shape))


def layer_norm(
    build: MlxBuilder, node: fx.Node, x: fx.Node, shape: list[int], weight: fx.Node | None, bias: fx.Node | None,
    epsilon: float,
) -> list[Value]:  # fmt: skip
    """Only the normalised output: the mean and deviation that ATen also gives serve training. MLX sums in float32."""
    value = build.value(x)
    if len(shape) != 1:
        raise build.refuse("a norm over several axes")
    factors = [None if each is None else build.value(each) for each in (weight, bias)]
    return [build.call("mx.fast.layer_norm", value, *factors, epsilon, shape=value.shape, dtype=value.dtype)]


def group_norm(
    build: MlxBuilder, node: fx.Node, x: fx.Node, weight: fx.Node | None, bias: fx.Node | None,
    batch: int, channels: int, length: int, groups: int, epsilon: float,
) -> list[Value]:  # fmt: skip
    """x [batch, channels, *length] as rows of one group each."""
    value = build.value(x)
    rows = build.reshape(value, (batch, groups, channels // groups * length))
    normed = build.call(
        "mx.fast.layer_norm", rows, None, None, epsilon, shape=rows.shape, dtype=rows.dtype, stem="norm"
    )
    result = build.reshape(normed, value.shape)
    for sign, each in (("*", weight), ("+", bias)):
        if each is not None:
            factor = build.reshape(build.value(each), (channels, *[1] * (len(value.shape) - 2)))
            result = build.call(sign, result, factor, shape=value.shape, dtype=value.dtype, stem="norm")
    return [result]


LOWERINGS: Lowerings = {
    aten.amax.default: reduction("mx.max"),
    aten.amin.default: reduction("mx.min"),
    aten.mean.dim: reduction("mx.mean"),
    aten.sum.dim_IntList: reduction("mx.sum"),
    aten.topk.default: topk,
    aten._softmax.default: softmax,
    aten.cumsum.default: cumsum,
    aten.native_layer_norm.default: layer_norm,
    aten.native_group_norm.default: group_norm,
}
