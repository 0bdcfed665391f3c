"""Matrix products, sums along an axis, normalisations, and recurrent layers."""

from __future__ import annotations

import torch
from torch import fx

from voxc.backends.lowering.table import Lowerings
from voxc.backends.onnx.builder import OnnxBuilder, Size
from voxc.backends.onnx.ops.reduction import reduce
from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::gru

aten = torch.ops.aten
FIRST_LAYER_NORM_OPSET = 17


def matmul(build: OnnxBuilder, node: fx.Node, left: fx.Node, right: fx.Node) -> str:
    return build.op("MatMul", left, right)


def addmm(
    build: OnnxBuilder, node: fx.Node, bias: fx.Node, left: fx.Node, right: fx.Node, beta: float, alpha: float
) -> str:
    return build.op("Gemm", left, right, bias, alpha=float(alpha), beta=float(beta))


def softmax(build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int, half_to_float: bool) -> str:
    if half_to_float:
        raise build.refuse("half_to_float")
    return build.op("Softmax", x, axis=dim)


def cumsum(build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int, dtype: object) -> str:
    return build.op("CumSum", build.operand(x, node.meta["val"].dtype), build.scalar(dim, torch.int64))


def layer_norm(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, shape: list[int], weight: fx.Node, bias: fx.Node, epsilon: float
) -> list[str]:
    """Only the normalised output: the mean and deviation that ATen also gives serve training."""
    if build.has("LayerNormalization", FIRST_LAYER_NORM_OPSET):
        return [build.op("LayerNormalization", x, weight, bias, axis=-len(shape), epsilon=float(epsilon))]
    if len(shape) != 1:
        raise build.refuse(f"layer norm over {len(shape)} axes needs opset {FIRST_LAYER_NORM_OPSET}")
    dtype = x.meta["val"].dtype
    centred = build.op("Sub", x, reduce(build, "ReduceMean", build.value(x), [-1], keep=True))
    variance = reduce(build, "ReduceMean", build.op("Mul", centred, centred), [-1], keep=True)
    deviation = build.op("Sqrt", build.op("Add", variance, build.scalar(epsilon, dtype)))
    return [build.op("Add", build.op("Mul", build.op("Div", centred, deviation), weight), bias)]


def group_norm(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, weight: fx.Node | None, bias: fx.Node | None,
    batch: Size, channels: Size, length: Size, groups: int, epsilon: float,
) -> list[str]:  # fmt: skip
    """InstanceNormalization, which every opset has: each group, as one channel, on its own."""
    given = x.meta["val"]
    dtype = given.dtype
    if groups == channels and weight is not None and bias is not None:
        return [build.op("InstanceNormalization", x, weight, bias, epsilon=float(epsilon))]
    one, zero = (build.constant(torch.full((groups,), value, dtype=dtype).numpy()) for value in (1.0, 0.0))
    grouped = build.op("Reshape", x, build.sizes([0, groups, -1]))
    flat = build.op("InstanceNormalization", grouped, one, zero, epsilon=float(epsilon))
    normed = build.op("Reshape", flat, build.op("Shape", x))
    over_channels = build.sizes(list(range(1, given.dim() - 1)))
    for op_type, factor in (("Mul", weight), ("Add", bias)):
        if factor is not None:
            normed = build.op(op_type, normed, build.op("Unsqueeze", factor, over_channels))
    return [normed]


def gru(build: OnnxBuilder, node: fx.Node, x: fx.Node, inner: fx.Node, recurrent: fx.Node, bias: fx.Node) -> str:
    """Time comes first in ONNX, and directions before the batch in what it gives."""
    directions, _, hidden = recurrent.meta["val"].shape
    by_time = build.op("Transpose", x, perm=[1, 0, 2])
    states = build.op(
        "GRU", by_time, inner, recurrent, bias, hidden_size=hidden, linear_before_reset=1,
        direction="bidirectional" if directions == 2 else "forward",
    )  # fmt: skip
    return build.op("Reshape", build.op("Transpose", states, perm=[2, 0, 1, 3]), build.sizes([0, 0, -1]))


LOWERINGS: Lowerings = {
    aten.bmm.default: matmul,
    aten.mm.default: matmul,
    aten.addmm.default: addmm,
    aten._softmax.default: softmax,
    aten.cumsum.default: cumsum,
    aten.native_layer_norm.default: layer_norm,
    aten.native_group_norm.default: group_norm,
    torch.ops.voxc.gru.default: gru,
}
