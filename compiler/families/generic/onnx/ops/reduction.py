"""Operators that sum up axes, accumulate along them, or rank what is along them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from voxc.compiler.families.generic.onnx.call import Call, Function, Row

Reduce = Callable[[Tensor, list[int], bool], Tensor]


def product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def log_sum_exp(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    top = x.amax(axes, keepdim=True)
    total = torch.log(torch.exp(x - top).sum(axes, keepdim=True)) + top
    return total if keep else total.squeeze(axes)


def reduction(function: Reduce, first_axes_input: int = 18) -> Row:
    """No axes means every axis, unless `noop_with_empty_axes` says none."""

    def row(call: Call) -> Function:
        axes, keep = call.axes(1, first_axes_input), bool(call.attribute("keepdims", 1))
        if not axes and call.attribute("noop_with_empty_axes", 0):
            return lambda x, *_: x
        places = [call.axis(axis) for axis in axes] if axes else list(range(call.rank()))
        if not places:
            return lambda x, *_: x
        return lambda x, *_: function(x, places, keep)

    return row


def arg(largest: bool) -> Row:
    def row(call: Call) -> Function:
        axis, keep = call.axis(call.attribute("axis", 0)), bool(call.attribute("keepdims", 1))

        def function(x: Tensor, axis: int, keepdim: bool) -> Tensor:  # by the ranking that every backend has
            places = torch.topk(x.float(), 1, axis, largest=largest).indices
            return places if keepdim else places.squeeze(axis)

        if call.attribute("select_last_index", 0):
            last = call.shape()[axis] - 1
            return lambda x: last - function(x.flip(axis), axis, keepdim=keep)
        return lambda x: function(x, axis, keepdim=keep)

    return row


def cumulative_sum(call: Call) -> Function:
    axis = call.axis(call.integers(1, "axis")[0])
    exclusive, backward = call.attribute("exclusive", 0), call.attribute("reverse", 0)

    def run(x: Tensor, *_: object) -> Tensor:
        x = x.flip(axis) if backward else x
        total = torch.cumsum(x, axis, dtype=x.dtype)
        if exclusive:
            total = total - x
        return total.flip(axis) if backward else total

    return run


def top_k(call: Call) -> Function:
    count = call.required("k") if call.opset < 10 else call.integers(1, "count")[0]
    axis, largest = call.axis(call.attribute("axis", -1)), bool(call.attribute("largest", 1))
    return lambda x, *_: tuple(torch.topk(x, count, axis, largest, True))


ROWS: dict[str, Row] = {
    "ReduceSum": reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep, dtype=x.dtype), 13),
    "ReduceMean": reduction(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMax": reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMin": reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": reduction(product),
    "ReduceL1": reduction(lambda x, axes, keep: torch.abs(x).sum(axes, keepdim=keep)),
    "ReduceL2": reduction(lambda x, axes, keep: torch.sqrt((x * x).sum(axes, keepdim=keep))),
    "ReduceSumSquare": reduction(lambda x, axes, keep: (x * x).sum(axes, keepdim=keep)),
    "ReduceLogSum": reduction(lambda x, axes, keep: torch.log(x.sum(axes, keepdim=keep))),
    "ReduceLogSumExp": reduction(log_sum_exp),
    "ArgMax": arg(largest=True),
    "ArgMin": arg(largest=False),
    "CumSum": cumulative_sum,
    "TopK": top_k,
}
