"""Normalisations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row


def batch_norm(call: Call) -> Function:
    """With its statistics known beforehand it is a product and a sum."""
    if call.attribute("training_mode", 0):
        raise call.refuse("is in training mode; export the model in evaluation mode")
    scale, shift, mean, variance = (call.static(index, "statistics").double() for index in range(1, 5))
    factor = scale / torch.sqrt(variance + call.attribute("epsilon", 1e-5))
    column = [-1, *[1] * (call.rank() - 2)]
    factors = factor.float().reshape(column)
    shifts = (shift - mean * factor).float().reshape(column)
    return lambda x, *_: x * factors + shifts


def instance_norm(call: Call) -> Function:
    channels, epsilon = call.shape()[1], call.attribute("epsilon", 1e-5)
    return lambda x, scale, bias: functional.group_norm(x, channels, scale, bias, epsilon)


def group_norm(call: Call) -> Function:
    """Scale and bias are of groups in opset 18, and of channels since 21."""
    groups, epsilon = call.required("num_groups"), call.attribute("epsilon", 1e-5)
    channels = call.shape()[1]
    repeats = channels // max(1, call.shape(1)[0])

    def run(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if repeats > 1:
            scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
        return functional.group_norm(x, groups, scale, bias, epsilon)

    return run


def layer_norm(call: Call) -> Function:
    if call.outputs > 1:
        raise call.refuse("only its first output is supported")
    shape, epsilon = call.shape(), call.attribute("epsilon", 1e-5)
    axis = call.axis(call.attribute("axis", -1))
    normed = list(shape[axis:])

    def run(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        if list(scale.shape) == normed:
            return functional.layer_norm(x, normed, scale, bias, epsilon)
        result = functional.layer_norm(x, normed, None, None, epsilon) * scale
        return result if bias is None else result + bias

    return run


def rms_norm(call: Call) -> Function:
    axes = list(range(call.axis(call.attribute("axis", -1)), call.rank()))
    epsilon = call.attribute("epsilon", 1e-5)
    return lambda x, scale: x / torch.sqrt((x * x).mean(axes, keepdim=True) + epsilon) * scale


def lp_norm(call: Call) -> Function:
    axis, power = call.axis(call.attribute("axis", -1)), call.attribute("p", 2)
    if power == 1:
        return lambda x: x / torch.abs(x).sum(axis, keepdim=True)
    return lambda x: x / torch.sqrt((x * x).sum(axis, keepdim=True))


def mean_variance(call: Call) -> Function:
    axes = [call.axis(axis) for axis in call.attribute("axes", [0, 2, 3])]

    def run(x: Tensor) -> Tensor:
        centred = x - x.mean(axes, keepdim=True)
        return centred / (torch.sqrt((centred * centred).mean(axes, keepdim=True)) + 1e-9)

    return run


def drop_out(call: Call) -> Function:
    if call.opset >= 12 and call.has(2) and bool(call.static(2, "mode").item()):
        raise call.refuse("is in training mode; export the model in evaluation mode")
    call.read.update(range(1, len(call.inputs)))
    if call.outputs > 1:
        return lambda x, *_: (x, torch.ones_like(x, dtype=torch.bool))
    return lambda x, *_: x


ROWS: dict[str, Row] = {
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance,
    "Dropout": drop_out,
}
