"""What int8 will cost an engine whose builder chooses it, if it does so wherever it may.

Pairs by the scales of the calibration cache stand around all that may be int8:

    x -> Conv -> y          x -> Q -> DQ -> Conv -> Q -> DQ -> y
          ^ w                    w -> Q -> DQ -^

but not where TensorRT adds or cuts off within the kernel, before it rounds: between a convolution and the sum or ReLU
that alone uses it. Where the builder takes floats after all, less is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from voxc.backends.tensorrt.legality import Reading
from voxc.backends.tensorrt.precisions import Precisions
from voxc.compiler.core.tensor import Array

HOW = "int8 wherever TensorRT may choose it"
MOST = 127
#: The axis of a weight's output channels, which have a scale each.
CHANNELS = {"Conv": 0, "ConvTranspose": 1}
IN_THE_KERNEL = frozenset({"Add", "Relu"})


def with_integers(model: ModelProto, recipe: Precisions, scales: Mapping[str, float]) -> ModelProto:
    """The model, changed: what may be int8 by an implicit recipe is."""
    pairs = Pairs(model, recipe, scales)
    nodes = [each for node in model.graph.node for each in pairs.around(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


class Pairs:
    """The pairs of one model. `rounded` has the tensors that are in integers and back already, or never are."""

    def __init__(self, model: ModelProto, recipe: Precisions, scales: Mapping[str, float]) -> None:
        self.model, self.recipe, self.scales = model, recipe, scales
        self.reading = Reading(model)
        self.names = {name: name for name in scales}
        self.rounded = set(self.fused())

    def is_open(self, node: NodeProto) -> bool:
        return self.recipe.layers.get(node.name) == "int8"

    def fused(self) -> Iterator[str]:
        """What a convolution gives to one sum or ReLU alone."""
        users: dict[str, list[NodeProto]] = {}
        for node in self.model.graph.node:
            for name in node.input:
                users.setdefault(name, []).append(node)
        for node in filter(self.is_open, self.model.graph.node):
            after = users.get(node.output[0], [])
            if node.op_type not in CHANNELS or len(after) != 1:
                continue
            if after[0].op_type in IN_THE_KERNEL and self.is_open(after[0]):
                yield node.output[0]

    def around(self, node: NodeProto) -> Iterator[NodeProto]:
        """A node, with pairs before and behind it if it may be int8."""
        if not self.is_open(node):
            yield node
            return
        for place, name in enumerate(node.input):
            axis = CHANNELS.get(node.op_type) if place == 1 else None
            if axis is not None:
                yield from self.weight(node, name, axis)
            elif name in self.scales and name not in self.rounded:
                if self.names[name] == name:
                    self.names[name] = f"{name}:int8"
                    yield from self.pair(name, self.names[name], np.array(self.scales[name], np.float32))
                node.input[place] = self.names[name]
        behind: list[NodeProto] = []
        for place, name in enumerate(node.output):
            if name in self.scales and name not in self.rounded:
                node.output[place] = f"{name}:exact"
                behind += self.pair(f"{name}:exact", name, np.array(self.scales[name], np.float32))
                self.rounded.add(name)
        yield node
        yield from behind

    def weight(self, node: NodeProto, name: str, axis: int) -> Iterator[NodeProto]:
        """The weight of a convolution by channels; one that several share is rounded for each."""
        values = self.reading.array(name)
        if values is None:
            return
        reach = np.abs(values).max(axis=tuple(place for place in range(values.ndim) if place != axis))
        result = f"{name}:int8 for {node.name}"
        node.input[1] = result
        yield from self.pair(name, result, np.where(reach > 0, reach / MOST, 1).astype(np.float32), axis=axis)

    def pair(self, source: str, result: str, scale: Array, **attributes: int) -> Iterator[NodeProto]:
        """A tensor to int8 and back, by one scale or by one for each channel along `axis`."""
        numbers = {f"{result}:scale": np.asarray(scale), f"{result}:zero": np.zeros(np.shape(scale), np.int8)}
        self.model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in numbers.items())
        for op, given, made in (("QuantizeLinear", source, f"{result}:q"), ("DequantizeLinear", f"{result}:q", result)):
            yield helper.make_node(op, [given, *numbers], [made], name=f"{made}:{op}", **attributes)
