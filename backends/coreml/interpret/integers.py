"""Products of integers.

    x -> dequantize ----+                         x ----------+
                        conv -> y      becomes                product of integers -> scale, bias -> y
    w -> dequantize ----+                         w ----------+

Where the signal and the weight are both dequantized for a layer, Core ML computes the layer on the integers themselves,
and so does this: exactly, with one rounding at the end, whatever the type of the real numbers between. Anything else
between them, or a scale that is not the output channels' own, leaves the layer to real numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from voxc.backends.coreml.interpret import matrix
from voxc.backends.coreml.interpret.call import Call
from voxc.backends.coreml.mil import Operation

#: The layers, and the axis of their weights that is the output channels.
LAYERS = {"conv": 0, "conv_transpose": 1, "linear": 0}
#: What makes real numbers of integers, and what it calls the integers.
DEQUANTIZERS = {"dequantize": "input", "constexpr_affine_dequantize": "quantized_data"}
#: Whole numbers up to here are exact in float32, and so are sums that stay below.
EXACT_SUMS = 1 << 24
NIBBLE = 16

#: Constants as tensors and texts, what is computed as anything else, by parameter.
Arguments = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Dequantized:
    """How a value has been made of integers."""

    operation: Operation
    arguments: Arguments

    def constant(self, name: str) -> Tensor | None:
        (value,) = self.arguments.get(name) or (None,)
        return value if isinstance(value, Tensor) else None

    @property
    def integers(self) -> Any:
        (value,) = self.arguments[DEQUANTIZERS[self.operation.type]]
        return value

    def along(self, values: Tensor, rank: int) -> Tensor:
        """One value, or one for each place along the operation's axis, to be broadcast."""
        axis = self.constant("axis")
        if values.numel() == 1 or axis is None:
            return values.reshape([1] * rank if values.numel() == 1 else values.shape)
        return values.reshape(-1, *[1] * (rank - 1 - int(axis) % rank))


def on_integers(operation: Operation, arguments: Arguments, made: Mapping[str, Dequantized]) -> Arguments | None:
    """A layer's arguments with integers for the signal and the weight; None if it must stay with real numbers."""
    if operation.type not in LAYERS:
        return None
    signal, weight = (made.get(source_of(operation, parameter)) for parameter in ("x", "weight"))
    if signal is None or weight is None:
        return None
    scale, scales, data = signal.constant("scale"), weight.constant("scale"), weight.integers
    if scale is None or scales is None or scale.numel() != 1 or not isinstance(data, Tensor):
        return None
    if any("zero_point" in one.arguments and one.constant("zero_point") is None for one in (signal, weight)):
        return None
    if not of_channels(weight, scales, data, operation, arguments):
        return None
    zero, shift = signal.constant("zero_point"), weight.constant("zero_point")
    steps = data.float() if shift is None else data.float() - weight.along(shift, data.dim())
    ready = {"x": (signal.integers,), "weight": (steps,), "scale": (scales.reshape(-1).double() * scale.double(),)}
    return {**arguments, **ready, **({} if zero is None else {"zero_point": (zero,)})}


def source_of(operation: Operation, parameter: str) -> str:
    """The name of the value that a layer reads, empty if it is not one."""
    given = operation.inputs.get(parameter, ())
    return given[0] if len(given) == 1 and isinstance(given[0], str) else ""


def of_channels(weight: Dequantized, scales: Tensor, data: Tensor, layer: Operation, arguments: Arguments) -> bool:
    """Whether the weight has one scale, or one for each output channel of the layer."""
    if scales.numel() == 1:
        return True
    axis, groups = weight.constant("axis"), arguments.get("groups", (torch.tensor(1),))[0]
    own = LAYERS[layer.type]
    single = layer.type != "conv_transpose" or (isinstance(groups, Tensor) and int(groups) == 1)
    return axis is not None and int(axis) % data.dim() == own and scales.numel() == data.shape[own] and single


def product(call: Call) -> Tensor:
    """The layer on integers, times the scales, plus the bias."""
    x, weight = call.tensor("x").float(), call.tensor("weight")
    if call.has("zero_point"):
        x = x - call.tensor("zero_point").float()
    bias, scale = call.optional("bias"), call.tensor("scale")
    total = exact(call, x, weight)
    spread = [-1] if call.operation.type == "linear" else [-1, *[1] * (total.dim() - 2)]
    real = total * scale.reshape(spread)
    return (real if bias is None else real + bias.reshape(spread)).float()


def exact(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    """The sums of products, float64. Where they may be more than float32 counts, x is taken in two parts."""
    axis = LAYERS[call.operation.type]
    weights = weight.abs().sum([other for other in range(weight.dim()) if other != axis]).max()
    largest = x.abs().max() if x.numel() else 0
    if float(weights * largest) < EXACT_SUMS:
        return layer(call, x, weight).double()
    high = torch.floor(x / NIBBLE)
    if float(weights) * NIBBLE < EXACT_SUMS:
        return layer(call, high, weight).double() * NIBBLE + layer(call, x - high * NIBBLE, weight).double()
    return layer(call, x.double(), weight.double())


def layer(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    values = {name: given for name, given in call.values.items() if name not in ("bias", "scale", "zero_point")}
    given = matrix.TABLE[call.operation.type](replace(call, values={**values, "x": (x,), "weight": (weight,)}))
    assert isinstance(given, Tensor)
    return given
