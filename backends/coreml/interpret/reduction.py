"""Reductions over axes, and what counts along them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import Call, Kernel, Lowerings

#: `(x, axes, keep)`: reduces the axes, and keeps them with size 1 if told.
Reduction = Callable[[Tensor, list[int], bool], Tensor]


def reduction(function: Reduction) -> Kernel:
    def kernel(call: Call) -> Tensor:
        x = call.tensor("x")
        axes = call.axes("axes", x.dim())
        return function(x, axes, call.flag("keep_dims")).to(call.held()) if axes else x

    return kernel


def product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keepdim=keep)
    return x.double().mean(axes, keepdim=keep)


def place_of(pick: Callable[..., Tensor]) -> Kernel:
    """The place of the largest or the smallest along an axis."""

    def kernel(call: Call) -> Tensor:
        x = call.tensor("x")
        return pick(x, call.axis("axis", x.dim(), -1), keepdim=call.flag("keep_dims")).to(call.held())

    return kernel


def cumsum(call: Call) -> Tensor:
    """Sums up to each element, itself left out if `exclusive`, from the end if `reverse`."""
    x = call.tensor("x")
    axis = call.axis("axis", x.dim(), 0)
    turned = x.flip(axis) if call.flag("reverse") else x
    sums = turned.cumsum(axis, dtype=x.dtype)
    if call.flag("exclusive"):
        first = torch.zeros_like(sums.narrow(axis, 0, 1))
        sums = torch.cat([first, sums.narrow(axis, 0, sums.shape[axis] - 1)], axis)
    return sums.flip(axis) if call.flag("reverse") else sums


def argsort(call: Call) -> Tensor:
    x = call.tensor("x")
    axis = call.axis("axis", x.dim(), -1)
    return torch.argsort(x, dim=axis, descending=not call.flag("ascending"), stable=True).to(call.held())


def topk(call: Call) -> list[Tensor]:
    """The k largest (the smallest if `ascending`) along an axis, and their places; of equals the first comes first."""
    x = call.tensor("x")
    axis, count = call.axis("axis", x.dim(), -1), call.integer("k", 1)
    if not 0 <= count <= x.shape[axis]:
        raise call.wrong(f"{count} of {x.shape[axis]} elements")
    values, places = torch.sort(x, dim=axis, descending=not call.flag("ascending"), stable=True)
    best, where = values.narrow(axis, 0, count), places.narrow(axis, 0, count)
    return [best, where.to(call.held(1))] if call.flag("return_indices", True) else [best]


TABLE: Lowerings = {
    "reduce_argmax": place_of(torch.argmax),
    "reduce_argmin": place_of(torch.argmin),
    "reduce_l1_norm": reduction(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "reduce_l2_norm": reduction(lambda x, axes, keep: x.double().square().sum(axes, keepdim=keep).sqrt()),
    "reduce_log_sum": reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "reduce_log_sum_exp": reduction(lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep)),
    "reduce_max": reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_mean": reduction(mean),
    "reduce_min": reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_prod": reduction(product),
    "reduce_sum": reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_sum_square": reduction(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "argsort": argsort,
    "cumsum": cumsum,
    "topk": topk,
}

EXACT = frozenset({"reduce_max", "reduce_min", "topk"})
