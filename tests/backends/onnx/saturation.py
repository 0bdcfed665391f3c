"""What ONNX Runtime's x86 kernels without VNNI make of the integers in a file: each instruction (vpmaddubsw) multiplies
unsigned bytes of activations by signed bytes of weights, adds two neighbouring products and saturates in 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper

Array = np.ndarray
LEAST, MOST = -(1 << 15), (1 << 15) - 1


@dataclass(frozen=True)
class IntegerLayer:
    """A layer that runtimes compute in integers, and its weights int8 [outputs, K] in the order in which kernels add
    up: taps, and within a tap input channels."""

    name: str
    rows: Array

    @property
    def worst(self) -> Array:
        """Activations uint8 [2 * outputs, K] that bring each output's pairs as far up, and as far down, as they go."""
        return np.concatenate([self.rows > 0, self.rows < 0]).astype(np.uint8) * 255

    def saturates(self, activations: Array) -> bool:
        """Whether a kernel with 16-bit pairs gives other sums than exact arithmetic, for uint8 [n, K]."""
        exact = activations.astype(np.int64) @ self.rows.astype(np.int64).T
        return not np.array_equal(saturating_product(activations, self.rows), exact)


def saturating_product(activations: Array, rows: Array) -> Array:
    """Activations uint8 [n, K] times weights int8 [outputs, K], int64 [n, outputs], pairs of products in 16 bits."""
    odd = [(0, 0), (0, rows.shape[1] % 2)]
    inputs, weights = (np.pad(each.astype(np.int64), odd) for each in (activations, rows))
    products = inputs[:, np.newaxis] * weights[np.newaxis]
    pairs = products.reshape(*products.shape[:2], -1, 2).sum(-1)
    return pairs.clip(LEAST, MOST).sum(-1)


def integer_layers(file: Path) -> Iterator[IntegerLayer]:
    """The layers of a file whose activation and weight both come from integers."""
    model = onnx.load(file)
    makers = {output: node for node in model.graph.node for output in node.output}
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm") and is_dequantized(node.input[0], makers):
            weight = stored_integers(node.input[1], makers, stored)
            if weight is not None:
                yield IntegerLayer(node.name, rows_of(node, weight, model))


def is_dequantized(name: str, makers: dict[str, NodeProto]) -> bool:
    """Whether a tensor is an integer one, also where it was moved about since."""
    while name in makers and makers[name].op_type in ("Transpose", "Reshape", "Slice", "Pad", "Unsqueeze", "Squeeze"):
        name = makers[name].input[0]
    return name in makers and makers[name].op_type == "DequantizeLinear"


def stored_integers(name: str, makers: dict[str, NodeProto], stored: dict[str, Array]) -> Array | None:
    maker = makers.get(name)
    if maker is None or maker.op_type != "DequantizeLinear":
        return None
    weight = stored.get(maker.input[0])
    return weight if weight is not None and weight.dtype == np.int8 else None


def rows_of(node: NodeProto, weight: Array, model: ModelProto) -> Array:
    if node.op_type == "Conv":
        return np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return weight if transposed else np.moveaxis(weight, -2, -1).reshape(-1, weight.shape[-2])
