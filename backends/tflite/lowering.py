"""What a lowering is: one call in the exported graph to TFLite operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: `(build, node, *arguments)` -> the value, or one for each of several outputs. `arguments` are those of the operator's
#: schema in order, tensors as FX nodes.
Function = Callable[..., object]


@dataclass(frozen=True)
class Lowering:
    """How a call becomes operators.

    `integers` is for calls that TFLite has integer kernels for: where all operands are integers that stand for real
    numbers, and all users want such integers, the result is computed in them. `weights` is for those of them whose
    constants are weights and biases; elsewhere a constant makes it a computation in float32.
    """

    function: Function
    integers: bool = field(default=False, kw_only=True)
    weights: bool = field(default=False, kw_only=True)
