"""Activations. Those with constants take them as alpha and beta, in the order of their formulas."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from voxc.backends.coreml.interpret.call import Call, Lowerings
from voxc.backends.coreml.interpret.elementwise import unary

#: In the approximation of gelu by a sigmoid.
SIGMOID_GELU = 1.702


def gelu(call: Call) -> Tensor:
    x, mode = call.tensor("x"), call.text("mode", "EXACT")
    if mode == "EXACT":
        return F.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return F.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(SIGMOID_GELU * x)
    raise call.unsupported(f"the mode {mode}")


def softmax(call: Call) -> Tensor:
    x = call.tensor("x")
    return torch.softmax(x, call.axis("axis", x.dim(), -1))


def prelu(call: Call) -> Tensor:
    """x, or alpha of its channel times x where it is negative; channels are axis 1."""
    x, alpha = call.tensor("x"), call.tensor("alpha")
    return torch.where(x >= 0, x, x * along_channels(alpha, x))


def softplus_parametric(call: Call) -> Tensor:
    """alpha * log(1 + exp(beta * x)), both of its channel."""
    x = call.tensor("x")
    alpha, beta = along_channels(call.tensor("alpha"), x), along_channels(call.tensor("beta"), x)
    return alpha * softplus(beta * x)


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def along_channels(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.dim() - 2))


def leaky_relu(call: Call) -> Tensor:
    return F.leaky_relu(call.tensor("x"), call.number("alpha"))


def elu(call: Call) -> Tensor:
    return F.elu(call.tensor("x"), call.number("alpha"))


def thresholded_relu(call: Call) -> Tensor:
    """x, or 0 where it is below alpha."""
    x = call.tensor("x")
    return torch.where(x >= call.number("alpha"), x, torch.zeros_like(x))


def clamped_relu(call: Call) -> Tensor:
    """min(beta, x), or min(beta, alpha * x) where x is negative."""
    return F.leaky_relu(call.tensor("x"), call.number("alpha")).clamp(max=call.number("beta"))


def linear_activation(call: Call) -> Tensor:
    return call.number("alpha") * call.tensor("x") + call.number("beta")


def scaled_tanh(call: Call) -> Tensor:
    return call.number("alpha") * torch.tanh(call.number("beta") * call.tensor("x"))


def sigmoid_hard(call: Call) -> Tensor:
    return (call.number("alpha") * call.tensor("x") + call.number("beta")).clamp(0, 1)


TABLE: Lowerings = {
    "clamped_relu": clamped_relu,
    "elu": elu,
    "gelu": gelu,
    "leaky_relu": leaky_relu,
    "linear_activation": linear_activation,
    "prelu": prelu,
    "relu": unary(torch.relu),
    "relu6": unary(F.relu6),
    "scaled_tanh": scaled_tanh,
    "sigmoid": unary(torch.sigmoid),
    "sigmoid_hard": sigmoid_hard,
    "silu": unary(F.silu),
    "softmax": softmax,
    "softplus": unary(softplus),
    "softplus_parametric": softplus_parametric,
    "softsign": unary(F.softsign),
    "thresholded_relu": thresholded_relu,
}

EXACT = frozenset({"relu", "relu6", "thresholded_relu"})
