"""Normalisations. They compute in float32 whatever the type of their input; their result is rounded once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from voxc.backends.coreml.interpret.call import Call, Lowerings


def layer_norm(call: Call) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over `axes`, which gamma and beta have the sizes of."""
    x = call.tensor("x")
    axes = sorted(call.axes("axes", x.dim()))
    gamma, beta = call.optional("gamma"), call.optional("beta")
    epsilon = call.number("epsilon", 1e-5)
    sizes = [x.shape[axis] for axis in axes]
    for values in (gamma, beta):
        if values is not None and list(values.shape) != sizes:
            raise call.wrong(f"weights of shape {list(values.shape)} for axes of sizes {sizes}")
    if axes == list(range(x.dim() - len(axes), x.dim())):
        return F.layer_norm(x, sizes, gamma, beta, epsilon)
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    normal = (x - mean) * torch.rsqrt(variance + epsilon)
    broadcast = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    if gamma is not None:
        normal = normal * gamma.reshape(broadcast)
    return normal if beta is None else normal + beta.reshape(broadcast)


def batch_norm(call: Call) -> Tensor:
    return F.batch_norm(
        call.tensor("x"),
        call.tensor("mean"),
        call.tensor("variance"),
        call.optional("gamma"),
        call.optional("beta"),
        eps=call.number("epsilon", 1e-5),
    )


def instance_norm(call: Call) -> Tensor:
    """Over all axes but batch and channels."""
    x = call.tensor("x")
    variance, mean = torch.var_mean(x, list(range(2, x.dim())), correction=0, keepdim=True)
    normal = (x - mean) * torch.rsqrt(variance + call.number("epsilon", 1e-5))
    gamma, beta = call.optional("gamma"), call.optional("beta")
    broadcast = [-1, *[1] * (x.dim() - 2)]
    if gamma is not None:
        normal = normal * gamma.reshape(broadcast)
    return normal if beta is None else normal + beta.reshape(broadcast)


def l2_norm(call: Call) -> Tensor:
    """x / sqrt(sum(x^2) + epsilon) over the last three axes."""
    x = call.tensor("x")
    return x * torch.rsqrt(x.square().sum((-3, -2, -1), keepdim=True) + call.number("epsilon", 1e-6))


def local_response_norm(call: Call) -> Tensor:
    """x / (k + alpha / size * sum over `size` neighbouring channels of x^2)^beta."""
    return F.local_response_norm(
        call.tensor("x"),
        call.integer("size"),
        call.number("alpha", 1e-4),
        call.number("beta", 0.75),
        call.number("k", 1.0),
    )


TABLE: Lowerings = {
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "l2_norm": l2_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
}
