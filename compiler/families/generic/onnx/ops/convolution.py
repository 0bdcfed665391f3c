"""Convolutions and pooling over one to three axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row

MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


class Window:
    """How a kernel walks over space: attributes that all operators of this family share."""

    def __init__(self, call: Call, kernel: Sequence[int]) -> None:
        self.sizes = call.shape()[2:]
        self.kernel = tuple(kernel)
        rank = len(self.kernel)
        if len(self.sizes) != rank or not 1 <= rank <= 3:
            raise call.refuse(f"a kernel over {rank} axes of a tensor of rank {call.rank()}")
        self.stride = tuple(call.attribute("strides", [1] * rank))
        self.dilation = tuple(call.attribute("dilations", [1] * rank))
        if not len(self.stride) == len(self.dilation) == rank or min(*self.stride, *self.dilation, *self.kernel) < 1:
            raise call.refuse(f"strides {self.stride} or dilations {self.dilation} do not fit kernel {self.kernel}")
        self.reach = tuple(step * (taps - 1) + 1 for step, taps in zip(self.dilation, self.kernel, strict=True))
        self.before, self.after = self.pads(call)

    def pads(self, call: Call) -> tuple[list[int], list[int]]:
        rank = len(self.kernel)
        mode = call.attribute("auto_pad", "NOTSET")
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            steps = [-(-size // stride) for size, stride in zip(self.sizes, self.stride, strict=True)]
            rows = zip(steps, self.stride, self.reach, self.sizes, strict=True)
            totals = [max(0, (step - 1) * stride + reach - size) for step, stride, reach, size in rows]
            return split_pads(totals, mode)
        pads = [0] * 2 * rank if mode == "VALID" else list(call.attribute("pads", [0] * 2 * rank))
        if len(pads) != 2 * rank or min(pads) < 0:
            raise call.refuse(f"pads {pads} do not fit kernel {self.kernel}")
        return pads[:rank], pads[rank:]

    @property
    def symmetric(self) -> bool:
        return self.before == self.after

    @property
    def pairs(self) -> list[int]:
        """As torch's pad wants them, from the last axis."""
        return [pad for pair in zip(self.before[::-1], self.after[::-1], strict=True) for pad in pair]


def split_pads(totals: Sequence[int], mode: str) -> tuple[list[int], list[int]]:
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def convolution(call: Call) -> Function:
    window = Window(call, call.shape(1)[2:])
    groups = call.attribute("group", 1)
    padding = window.before if window.symmetric else [0] * len(window.kernel)
    zeros = [0] * len(window.kernel)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not window.symmetric:
            x = functional.pad(x, window.pairs)
        return torch.convolution(x, weight, bias, window.stride, padding, window.dilation, False, zeros, groups)

    return run


def transposed(call: Call) -> Function:
    """Padding that differs at both ends is cut off afterwards."""
    window = Window(call, call.shape(1)[2:])
    rank, groups = len(window.kernel), call.attribute("group", 1)
    extra = list(call.attribute("output_padding", [0] * rank))
    rows = zip(window.sizes, window.stride, window.reach, extra, strict=True)
    whole = [(size - 1) * stride + reach + more for size, stride, reach, more in rows]
    before, after = window.before, window.after
    mode, shape = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape")
    if shape is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        shape = [size * stride for size, stride in zip(window.sizes, window.stride, strict=True)]
    if shape is not None:
        totals = [size - wanted for size, wanted in zip(whole, shape[-rank:], strict=True)]
        if min(totals) < 0:
            extra = [more + max(0, -total) for more, total in zip(extra, totals, strict=True)]
            totals = [max(0, total) for total in totals]
        before, after = split_pads(totals, "SAME_LOWER" if mode != "SAME_UPPER" else mode)
    return deconvolve(window, before, after, extra, groups)


def deconvolve(window: Window, before: list[int], after: list[int], extra: list[int], groups: int) -> Function:
    """What lies between a smaller padding and the one asked for is cut off at each end."""
    same = [min(pair) for pair in zip(before, after, strict=True)]
    cuts = [
        (axis + 2, front - least, back - least)
        for axis, (front, back, least) in enumerate(zip(before, after, same, strict=True))
        if front != back
    ]
    padding = list(same)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        result = torch.convolution(x, weight, bias, window.stride, padding, window.dilation, True, extra, groups)
        for axis, front, back in cuts:
            result = result.narrow(axis, front, result.shape[axis] - front - back)
        return result

    return run


def max_pool(call: Call) -> Function:
    if call.outputs > 1:
        raise call.refuse("its second output, the places of the largest, is not supported")
    window = Window(call, call.required("kernel_shape"))
    pool, ceil = MAX_POOLS[len(window.kernel)], bool(call.attribute("ceil_mode", 0))
    fits = window.symmetric and all(2 * pad <= taps for pad, taps in zip(window.before, window.kernel, strict=True))
    padding = window.before if fits else [0] * len(window.kernel)

    def run(x: Tensor) -> Tensor:
        if not fits:
            x = functional.pad(x, window.pairs, value=-torch.inf)
        return pool(x, window.kernel, window.stride, padding, window.dilation, ceil)

    return run


def average_pool(call: Call) -> Function:
    """Where padding does not count, sums are divided by how many elements lie under the kernel."""
    window = Window(call, call.required("kernel_shape"))
    counts = bool(call.attribute("count_include_pad", 0))
    ceil = bool(call.attribute("ceil_mode", 0))
    if max(window.dilation) > 1:
        raise call.refuse("dilated average pooling is not supported")
    pool, padded = AVERAGE_POOLS[len(window.kernel)], any((*window.before, *window.after))
    fits = all(2 * pad <= taps for pad, taps in zip(window.before, window.kernel, strict=True))
    if window.symmetric and fits:
        return lambda x: pool(x, window.kernel, window.stride, window.before, ceil, counts or not padded)
    if ceil:
        raise call.refuse("ceil_mode with padding that differs at both ends is not supported")
    share = None
    if not counts:
        ones = functional.pad(torch.ones(1, 1, *window.sizes), window.pairs)
        share = pool(ones, window.kernel, window.stride)

    def run(x: Tensor) -> Tensor:
        result = pool(functional.pad(x, window.pairs), window.kernel, window.stride)
        return result if share is None else result / share

    return run


def global_average(call: Call) -> Function:
    axes = list(range(2, call.rank()))
    return lambda x: x.mean(axes, keepdim=True)


def global_max(call: Call) -> Function:
    axes = list(range(2, call.rank()))
    return lambda x: x.amax(axes, keepdim=True)


ROWS: dict[str, Row] = {
    "Conv": convolution,
    "ConvTranspose": transposed,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average,
    "GlobalMaxPool": global_max,
}
