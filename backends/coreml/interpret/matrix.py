"""Convolutions and products of matrices. Products of float16 values are summed in float32 and rounded once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from voxc.backends.coreml.interpret.call import Call, Lowerings

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(call: Call) -> Tensor:
    x, weight = call.tensor("x"), call.tensor("weight")
    axes = spatial(call, x, weight)
    strides, dilations = call.ints("strides", [1] * axes), call.ints("dilations", [1] * axes)
    pads = paddings(call, x, list(weight.shape[2:]), strides, dilations)
    before, after = pads[::2], pads[1::2]
    if before != after:
        x = F.pad(x, [amount for pair in zip(before[::-1], after[::-1], strict=True) for amount in pair])
        before = [0] * axes
    return CONVOLUTIONS[axes](x, weight, call.optional("bias"), strides, before, dilations, call.integer("groups", 1))


def conv_transpose(call: Call) -> Tensor:
    """A transposed convolution, of whose result `pad` is cut off; the weight is [C_in, C_out / groups, *kernel]."""
    x, weight = call.tensor("x"), call.tensor("weight")
    axes = spatial(call, x, weight)
    strides, dilations = call.ints("strides", [1] * axes), call.ints("dilations", [1] * axes)
    groups = call.integer("groups", 1)
    sizes = [
        (x.shape[2 + axis] - 1) * strides[axis] + (weight.shape[2 + axis] - 1) * dilations[axis] + 1
        for axis in range(axes)
    ]
    cuts = transposed_cuts(call, x, sizes, strides)
    before, after = cuts[::2], cuts[1::2]
    # torch cuts the same amount off both ends, and adds at the end what is missing there.
    extra = [low - high for low, high in zip(before, after, strict=True)]
    if all(
        0 <= amount < max(stride, dilation) for amount, stride, dilation in zip(extra, strides, dilations, strict=True)
    ):
        return TRANSPOSED[axes](x, weight, call.optional("bias"), strides, before, extra, groups, dilations)
    full = TRANSPOSED[axes](x, weight, None, strides, 0, 0, groups, dilations)
    full = F.pad(full, [-cut for axis in reversed(range(axes)) for cut in cuts[2 * axis : 2 * axis + 2]])
    bias = call.optional("bias")
    return full if bias is None else full + bias.reshape(-1, *[1] * axes)


def transposed_cuts(call: Call, x: Tensor, sizes: list[int], strides: list[int]) -> list[int]:
    """What is cut off the whole result, before and after each spatial axis; negative where something is added."""
    kind = call.text("pad_type", "valid")
    axes = len(sizes)
    wanted = call.ints("output_shape")[2:] if call.has("output_shape") else None
    if wanted is not None and len(wanted) != axes:
        raise call.wrong(f"an output shape for {len(wanted)} instead of {axes} axes")
    if kind == "same":
        target = wanted or [x.shape[2 + axis] * strides[axis] for axis in range(axes)]
        totals = [size - kept for size, kept in zip(sizes, target, strict=True)]
        return [cut for total in totals for cut in (max(0, total) // 2, total - max(0, total) // 2)]
    cuts = call.ints("pad", [0] * 2 * axes) if kind == "custom" else [0] * 2 * axes
    if len(cuts) != 2 * axes or kind not in ("custom", "valid"):
        raise call.wrong(f"padding {kind} {cuts}")
    for axis, kept in enumerate(wanted or ()):
        cuts[2 * axis + 1] = sizes[axis] - cuts[2 * axis] - kept
    return cuts


def spatial(call: Call, x: Tensor, weight: Tensor) -> int:
    """The number of spatial axes of a convolution."""
    axes = x.dim() - 2
    if axes not in CONVOLUTIONS or weight.dim() != x.dim():
        raise call.wrong(f"a convolution of rank {x.dim()} with a weight of rank {weight.dim()}")
    return axes


def paddings(call: Call, x: Tensor, kernel: list[int], strides: list[int], dilations: list[int]) -> list[int]:
    """What is padded before and after each spatial axis."""
    kind, axes = call.text("pad_type", "valid"), len(kernel)
    if not len(strides) == len(dilations) == axes:
        raise call.wrong(f"strides {strides} and dilations {dilations} for {axes} axes")
    if kind == "valid":
        return [0] * 2 * axes
    if kind == "custom":
        pads = call.ints("pad", [0] * 2 * axes)
        if len(pads) != 2 * axes or min(pads, default=0) < 0:
            raise call.wrong(f"padding {pads} for {axes} axes")
        return pads
    if kind not in ("same", "same_lower"):
        raise call.unsupported(f"padding {kind}")
    pads = []
    for size, taps, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size)
        smaller, larger = total // 2, total - total // 2
        pads += [smaller, larger] if kind == "same" else [larger, smaller]
    return pads


def matmul(call: Call) -> Tensor:
    x, y = call.tensor("x"), call.tensor("y")
    if call.flag("transpose_x") and x.dim() > 1:
        x = x.mT
    if call.flag("transpose_y") and y.dim() > 1:
        y = y.mT
    if x.is_floating_point():
        return torch.matmul(x, y)
    return torch.matmul(x.double(), y.double()).to(call.held())  # exact, and torch has no integer matmul that is fast


def linear(call: Call) -> Tensor:
    """x @ weight.T + bias."""
    return F.linear(call.tensor("x"), call.tensor("weight"), call.optional("bias"))


def einsum(call: Call) -> Tensor:
    return torch.einsum(call.text("equation"), *call.tensors("values"))


def attention(call: Call) -> Tensor:
    """softmax(query @ key.T / sqrt(size) + mask) @ value."""
    mask = call.optional("attn_mask")
    return F.scaled_dot_product_attention(call.tensor("query"), call.tensor("key"), call.tensor("value"), mask)


TABLE: Lowerings = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "einsum": einsum,
    "linear": linear,
    "matmul": matmul,
    "scaled_dot_product_attention": attention,
}
