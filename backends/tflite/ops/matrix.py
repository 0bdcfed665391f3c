"""Matrix products, sums along an axis, and normalisations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import fx

from voxc.backends.lowering.convolution import Geometry
from voxc.backends.lowering.layout import inverse, swaps_last_two, to_end
from voxc.backends.lowering.table import Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.backends.tflite.builder import TfliteBuilder
from voxc.backends.tflite.file import Value
from voxc.backends.tflite.integers import InIntegers
from voxc.backends.tflite.ops.convolution import bias_of, channels_last, store_weight

aten = torch.ops.aten


def linear(build: TfliteBuilder, left: fx.Node, right: fx.Node, bias: fx.Node | None) -> Value:
    """A product with weights [I, O], which TFLite wants as [O, I]; any other product, and a sum."""
    weight = build.constant_of(right)
    added = build.constant_of(bias)
    if weight is None or (bias is not None and (added is None or len(added.shape) != 1)):
        product = matmul(build, build.node, left, right)
        return product if bias is None else build.op("ADD", product, build.operand(bias))
    x, weight = build.operand(left), weight.transpose(1, 0)
    if weight.scale is not None and build.result is None:
        return as_convolution(build, x, weight, bias)
    kernel = store_weight(build, weight)
    return build.op("FULLY_CONNECTED", x, kernel, bias_of(build, bias, x, kernel, kernel.shape[0]), keepNumDims=False)


def as_convolution(build: TfliteBuilder, x: Value, weight: Weight, bias: fx.Node | None) -> Value:
    """x [M, I] times integer weights [O, I] as a convolution along M. Its kernels took real activations and a scale for
    each channel long before those of FULLY_CONNECTED did."""
    geometry = Geometry.of(2, [1], [0], [1], transposed=False, output_padding=[0], groups=1)
    shape = (1, 1, *build.shape)
    product = channels_last(build, build.reshape(x, (1, 1, *x.shape)), weight.expand(1, 2), bias, geometry, shape)
    return build.reshape(product, build.shape)


def matmul(build: TfliteBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Value:
    """The kernel turns its right operand around by itself."""
    source, turned = right, False
    if right.target is aten.permute.default and swaps_last_two(right):
        source, turned = right.args[0], True  # type: ignore[assignment]
    return build.op("BATCH_MATMUL", build.operand(left), build.operand(source), adjX=False, adjY=turned)


def mm(build: TfliteBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> Value:
    return linear(build, left, right, None)


def addmm(
    build: TfliteBuilder, node: fx.Node, bias: fx.Node, left: fx.Node, right: fx.Node, beta: float, alpha: float
) -> Value:
    if (alpha, beta) != (1, 1):
        raise build.refuse(f"alpha={alpha}, beta={beta}")
    return linear(build, left, right, bias)


def softmax(build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> Value:
    """Along the last axis, which is all that TFLite knows."""
    value = build.real(x)
    order = to_end(dim, len(value.shape))
    rows = build.transpose(value, order)
    shares = build.op("SOFTMAX", rows, shape=rows.shape, like=rows, beta=1.0)
    return build.transpose(shares, inverse(order))


def cumsum(build: TfliteBuilder, node: fx.Node, x: fx.Node, dim: int, dtype: object) -> Value:
    value = build.operand(x, node.meta["val"].dtype)
    axis = build.file.constant(np.array(dim % len(value.shape), np.int32))
    return build.op("CUMSUM", value, axis, exclusive=False, reverse=False)


def layer_norm(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, shape: list[int], weight: fx.Node | None, bias: fx.Node | None,
    epsilon: float,
) -> list[Value]:  # fmt: skip
    """Only the normalised output: the mean and deviation that ATen also gives serve training."""
    value = build.real(x)
    rank = len(value.shape)
    normed = normalise(build, value, range(rank - len(shape), rank), epsilon)
    scaled = scale_and_shift(build, normed, [None if each is None else build.real(each) for each in (weight, bias)])
    return [scaled]


def group_norm(
    build: TfliteBuilder, node: fx.Node, x: fx.Node, weight: fx.Node | None, bias: fx.Node | None,
    batch: int, channels: int, length: int, groups: int, epsilon: float,
) -> list[Value]:  # fmt: skip
    value = build.real(x)
    grouped = build.reshape(value, (batch, groups, channels // groups * length))
    normed = build.reshape(normalise(build, grouped, [2], epsilon), value.shape)
    factors: list[Value | None] = []
    for each in (weight, bias):
        factor = build.constant_of(each)
        if each is not None and factor is None:
            raise build.refuse("weight and bias must be constants")
        over_length = range(1, len(value.shape) - 1)
        factors.append(None if factor is None else build.as_float(build.store(factor.expand(*over_length))))
    return [scale_and_shift(build, normed, factors)]


def normalise(build: TfliteBuilder, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """Mean 0 and deviation 1 over `axes`."""
    over = build.integers(list(axes))
    each = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    mean = build.op("MEAN", x, over, shape=each, like=x, keepDims=True)
    centred = build.op("SUB", x, mean, shape=x.shape, like=x)
    square = build.op("MUL", centred, centred, shape=x.shape, like=x)
    variance = build.op("MEAN", square, over, shape=each, like=x, keepDims=True)
    safe = build.op("ADD", variance, build.number(epsilon, torch.float32), shape=each, like=x)
    return build.op("MUL", centred, build.op("RSQRT", safe, shape=each, like=x), shape=x.shape, like=x)


def scale_and_shift(build: TfliteBuilder, x: Value, factors: Sequence[Value | None]) -> Value:
    for code, factor in zip(("MUL", "ADD"), factors, strict=True):
        if factor is not None:
            x = build.op(code, x, factor, shape=x.shape, like=x)
    return x


LOWERINGS: Lowerings = {
    aten.bmm.default: InIntegers(matmul),
    aten.mm.default: InIntegers(mm, weights=True),
    aten.addmm.default: InIntegers(addmm, weights=True),
    aten._softmax.default: softmax,
    aten.cumsum.default: cumsum,
    aten.native_layer_norm.default: layer_norm,
    aten.native_group_norm.default: group_norm,
}
