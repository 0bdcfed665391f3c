"""What every reader of this package gives: a network that is not a voice, with its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from voxc.compiler.core.tensor import TensorSpec


@dataclass(frozen=True)
class Network:
    """A module that torch.export takes as it is, in float32 and in evaluation mode.

    `module` takes `inputs` in order and gives `outputs` in order; all sizes are numbers. `facts` say where it comes
    from, for people; `warnings` what computes otherwise than the file says.
    """

    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def spec_of(name: str, tensor: Tensor, meaning: str) -> TensorSpec:
    """The spec of a tensor that says no more of itself than its shape and type."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(name=name, shape=tuple(tensor.shape), dtype=dtype, unit="1", meaning=meaning)
