"""Activations, spelled in operators that every backend has."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row, plain

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def elu(x: Tensor, alpha: float) -> Tensor:
    """The exponential sees no positive numbers, so that it cannot overflow."""
    return functional.relu(x) + alpha * (torch.exp(torch.clamp(x, max=0.0)) - 1)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), which does not overflow."""
    return functional.relu(x) + torch.log(torch.exp(-torch.abs(x)) + 1)


def leaky_relu(call: Call) -> Function:
    slope = call.attribute("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, slope)


def elu_row(call: Call) -> Function:
    alpha = call.attribute("alpha", 1.0)
    return lambda x: elu(x, alpha)


def celu(call: Call) -> Function:
    alpha = call.attribute("alpha", 1.0)
    return lambda x: elu(x / alpha, 1.0) * alpha if alpha > 0 else functional.celu(x, alpha)


def selu(call: Call) -> Function:
    alpha, gamma = call.attribute("alpha", SELU_ALPHA), call.attribute("gamma", SELU_GAMMA)
    return lambda x: elu(x, alpha) * gamma


def hard_sigmoid(call: Call) -> Function:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return lambda x: torch.clamp(x * alpha + beta, 0.0, 1.0)


def hard_swish(x: Tensor) -> Tensor:
    return x * torch.clamp(x * (1 / 6) + 0.5, 0.0, 1.0)


def swish(call: Call) -> Function:
    alpha = call.attribute("alpha", 1.0)
    return lambda x: x * torch.sigmoid(x if alpha == 1 else x * alpha)


def gelu(call: Call) -> Function:
    approximate = call.attribute("approximate", "none")
    return lambda x: functional.gelu(x, approximate=approximate)


def p_relu(x: Tensor, slope: Tensor) -> Tensor:
    return functional.relu(x) - functional.relu(-x) * slope


def thresholded_relu(call: Call) -> Function:
    alpha = call.attribute("alpha", 1.0)
    return lambda x: torch.where(x > alpha, x, 0.0)


def shrink(call: Call) -> Function:
    bias, bound = call.attribute("bias", 0.0), call.attribute("lambd", 0.5)
    return lambda x: torch.where(x < -bound, x + bias, torch.where(x > bound, x - bias, 0.0))


def softmax(call: Call) -> Function:
    """Before opset 13 over all axes from one on, the last then."""
    if call.opset >= 13:
        axis = call.axis(call.attribute("axis", -1))
        return lambda x: functional.softmax(x, axis)
    return flattened(call, lambda x: functional.softmax(x, -1))


def log_softmax(call: Call) -> Function:
    if call.opset >= 13:
        axis = call.axis(call.attribute("axis", -1))
        return lambda x: functional.log_softmax(x, axis)
    return flattened(call, lambda x: functional.log_softmax(x, -1))


def flattened(call: Call, function: Function) -> Function:
    shape = call.shape()
    axis = call.axis(call.attribute("axis", 1))
    if math.prod(shape[axis:]) == shape[-1]:
        return function
    return lambda x: function(x.reshape([*shape[:axis], -1])).reshape(shape)


ROWS: dict[str, Row] = {
    "Relu": plain(functional.relu),
    "Sigmoid": plain(torch.sigmoid),
    "Softplus": plain(softplus),
    "Softsign": plain(lambda x: x / (torch.abs(x) + 1)),
    "Mish": plain(lambda x: x * torch.tanh(softplus(x))),
    "HardSwish": plain(hard_swish),
    "PRelu": plain(p_relu),
    "LeakyRelu": leaky_relu,
    "Elu": elu_row,
    "Celu": celu,
    "Selu": selu,
    "HardSigmoid": hard_sigmoid,
    "Swish": swish,
    "Gelu": gelu,
    "ThresholdedRelu": thresholded_relu,
    "Shrink": shrink,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
}
