"""Weights and biases of layers, as the plan wants them stored."""

from __future__ import annotations

from torch import fx

from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.sdk import Var
from voxc.backends.lowering.weight import Weight


def weight_of(build: CoreMLBuilder, weight: fx.Node | Weight) -> Var:
    """A layer's weight, in as many bits as the plan says for the layer; a computed one as it is."""
    constant = weight if isinstance(weight, Weight) else build.constant_of(weight)
    if constant is None:
        assert isinstance(weight, fx.Node)
        return build.operand(weight)
    assert build.node is not None
    bits = 4 if build.program.plan.precision(build.node.name) == "int4" else 8
    return build.store(constant, build.real, bits)


def bias_of(build: CoreMLBuilder, bias: fx.Node | None) -> Var | None:
    return None if bias is None else build.operand(bias)
