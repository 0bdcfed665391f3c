"""Operators that graphs may hold beside core ATen: convolutions in channels-last layout, and explicit quantization.

PyTorch can run them, so that a program can be checked after every pass; backends lower them to what their runtime has.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Integers that activations are stored in, and the range of each.
LIMITS = {torch.int8: (-128, 127), torch.uint8: (0, 255)}


@torch.library.custom_op("voxc::conv_channels_last", mutates_args=())
def conv_channels_last(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    """`aten.convolution` on x [B, *S, C] with weight [O, *K, C / groups], also where it is transposed: [B, *S', O].

    All float32; bias [O].
    """
    rank = x.dim()
    first = (0, rank - 1, *range(1, rank - 1))  # channels before space
    kernel = weight.permute(first)
    if transposed:
        kernel = torch.cat([part.transpose(0, 1) for part in kernel.chunk(groups)])
    y = torch.ops.aten.convolution.default(
        x.permute(first), kernel, bias, stride, padding, dilation, transposed, output_padding, groups
    )
    return y.permute(0, *range(2, rank), 1).contiguous()


@conv_channels_last.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    sizes = []
    for axis, size in enumerate(x.shape[1:-1]):
        reach = dilation[axis] * (weight.shape[1 + axis] - 1)
        if transposed:
            sizes.append((size - 1) * stride[axis] - 2 * padding[axis] + reach + output_padding[axis] + 1)
        else:
            sizes.append((size + 2 * padding[axis] - reach - 1) // stride[axis] + 1)
    return x.new_empty([x.shape[0], *sizes, weight.shape[0]])


@torch.library.custom_op("voxc::quantize", mutates_args=())
def quantize(x: Tensor, scale: float, zero_point: int, dtype: torch.dtype) -> Tensor:
    """round(x / scale) + zero_point, half to even, held to the range of `dtype` (int8 or uint8)."""
    low, high = LIMITS[dtype]
    return torch.clamp(torch.round(x * (1 / scale)) + zero_point, low, high).to(dtype)


@quantize.register_fake
def _(x: Tensor, scale: float, zero_point: int, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(x, dtype=dtype)


@torch.library.custom_op("voxc::dequantize", mutates_args=())
def dequantize(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """(x - zero_point) * scale in float32."""
    return (x.to(torch.float32) - zero_point) * scale


@dequantize.register_fake
def _(x: Tensor, scale: float, zero_point: int) -> Tensor:
    return torch.empty_like(x, dtype=torch.float32)


@torch.library.custom_op("voxc::dequantize_channels", mutates_args=())
def dequantize_channels(x: Tensor, scale: Tensor, axis: int) -> Tensor:
    """x * scale in float32; x is int8 weights or an int32 bias, scale [x.shape[axis]] float32."""
    shape = [1] * x.dim()
    shape[axis] = -1
    return x.to(torch.float32) * scale.reshape(shape)


@dequantize_channels.register_fake
def _(x: Tensor, scale: Tensor, axis: int) -> Tensor:
    return torch.empty_like(x, dtype=torch.float32)


@torch.library.custom_op("voxc::layer_norm_channels", mutates_args=())
def layer_norm_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> Tensor:
    """Layer norm over the channels of x [B, C, H, W]; weight and bias [C]. All float32."""
    y = torch.nn.functional.layer_norm(x.movedim(1, -1), [x.shape[1]], weight, bias, epsilon)
    return y.movedim(-1, 1).contiguous()


@layer_norm_channels.register_fake
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("voxc::matmul_channels", mutates_args=())
def matmul_channels(x: Tensor, y: Tensor) -> Tensor:
    """x [B, M, H, K] times y [B, K, H, N]: [B, M, H, N], a product of matrices for each B and H. All float32.

    Apple's Neural Engine has matrices lie so, on the channels and the width; Core ML's einsum `nchw,nwhu->nchu` is it.
    """
    return torch.einsum("nchw,nwhu->nchu", x, y).contiguous()


@matmul_channels.register_fake
def _(x: Tensor, y: Tensor) -> Tensor:
    return x.new_empty([*x.shape[:3], y.shape[3]])


@torch.library.custom_op("voxc::gru", mutates_args=())
def gru(x: Tensor, inner: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """A gated recurrent layer over x [B, T, I]: [B, T, D * H], from a state of zeros. All float32.

    Weights are laid out as ONNX has them, gates in the order update, reset, candidate: `inner` [D, 3 * H, I],
    `recurrent` [D, 3 * H, H], `bias` [D, 6 * H] of the one and of the other, whose candidate's stays inside the reset.
    Of D directions, 1 or 2, the second one sees time backwards.
    """
    directions, hidden = recurrent.shape[0], recurrent.shape[2]
    weights = []
    for way in range(directions):
        weights += [pytorch_gates(each) for each in (inner[way], recurrent[way], *torch.split(bias[way], 3 * hidden))]
    state = x.new_zeros(directions, x.shape[0], hidden)
    return torch.ops.aten.gru.input(x, state, weights, True, 1, 0.0, False, directions == 2, True)[0]


def pytorch_gates(rows: Tensor) -> Tensor:
    """Rows of gates in ONNX's order as PyTorch has them: reset, update, candidate."""
    update, reset, candidate = rows.chunk(3)
    return torch.cat([reset, update, candidate])


@gru.register_fake
def _(x: Tensor, inner: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty([x.shape[0], x.shape[1], recurrent.shape[0] * recurrent.shape[2]])
