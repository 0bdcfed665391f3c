"""Builds an ONNX graph from the nodes of an exported program, one value at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, fx

from voxc.backends.lowering.builder import Builder
from voxc.backends.lowering.table import Lowering
from voxc.backends.onnx.dialect import PLAIN, Dialect
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import Array, TensorSpec

Size = int | torch.SymInt | fx.Node

DTYPES: dict[torch.dtype, int] = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.bool: TensorProto.BOOL,
}


@dataclass(frozen=True)
class Packed:
    """A weight in 8 bits: int8 numbers, and float32 scales along one of their axes (sizes of the others are 1)."""

    numbers: Array
    scales: Array

    @property
    def floats(self) -> Array:
        """What it stands for; the agent computes it in the same way."""
        return np.asarray(self.numbers.astype(np.float32) * self.scales)


class OnnxBuilder(Builder[str]):
    """An ONNX graph under construction at one opset, in one dialect.

    Values are named after the FX nodes they come from (outputs after their specs), nodes after the module path in the
    user's model, so that a name in the file can be traced back; `origins` has the FX node of each name. `packed` has
    those weights that stand for numbers of 8 bits.
    """

    def __init__(self, program: Program, opset: int, dialect: Dialect = PLAIN) -> None:
        super().__init__(program, f"ONNX opset {opset}")
        self.opset = opset
        self.dialect = dialect
        outputs = {node: spec.name for node, spec in zip(program.results, program.outputs, strict=True)}
        reserved = {spec.name for spec in (*program.inputs, *program.outputs)}  # no other value may be called so
        others = {node: f"{node.name}_value" for node in program.graph.nodes if node.name in reserved}
        self.names = {**others, **outputs}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.packed: dict[str, Packed] = {}
        self.origins: dict[str, fx.Node] = {}
        self.constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.temporaries = 0

    def input(self, node: fx.Node, spec: TensorSpec) -> str:
        return spec.name

    def weight(self, name: str, tensor: Tensor) -> str:
        self.weights[name] = tensor.detach().contiguous().numpy()
        return name

    def constant(self, array: Array) -> str:
        """The name of an initializer with these values; equal ones are shared."""
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = f"constant_{len(self.constants)}"
            self.weights[self.constants[key]] = array
        return self.constants[key]

    def scalar(self, value: float, dtype: torch.dtype) -> str:
        return self.constant(torch.tensor(value, dtype=dtype).numpy())

    def op(self, op_type: str, *inputs: object, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node and gives the name of its output, or a list of names if it has several.

        An input is the name of a value, an FX node, or None for one that is left out.
        """
        names = ["" if value is None else self.value(value) for value in inputs]
        while names and not names[-1]:
            names.pop()
        results = [self.temporary() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op_type, names, results, name=f"{self.scope}/{results[0]}", **attributes))
        return results[0] if outputs == 1 else results

    def value(self, value: object) -> str:
        if isinstance(value, fx.Node):
            name = self.values[value]
            assert isinstance(name, str), f"{value} has several outputs"
            return name
        assert isinstance(value, str), f"{value!r} is not a value"
        return value

    def operand(self, value: object, dtype: torch.dtype) -> str:
        """A tensor operand, or a number as a scalar, in `dtype`."""
        if not isinstance(value, fx.Node):
            return self.scalar(value, dtype)  # type: ignore[arg-type]
        if not isinstance(value.meta["val"], Tensor):
            return self.op("Cast", self.op("Squeeze", value, self.sizes([0])), to=DTYPES[dtype])
        if value.meta["val"].dtype != dtype:
            return self.op("Cast", value, to=DTYPES[dtype])
        return self.value(value)

    def sizes(self, sizes: Sequence[Size]) -> str:
        """A one-dimensional int64 tensor of sizes, some of which may be computed."""
        if all(isinstance(size, int) for size in sizes):
            return self.constant(np.array(sizes, np.int64))
        parts = [size if isinstance(size, fx.Node) else self.sizes([size]) for size in sizes]
        return self.op("Concat", *parts, axis=0) if len(parts) > 1 else self.value(parts[0])

    def temporary(self) -> str:
        name = f"t{self.temporaries}"
        self.temporaries += 1
        return name

    @property
    def scope(self) -> str:
        """The module that the present node comes from, or the node itself where there is none."""
        return module_path(self.node) or self.node.name

    def lower(self, node: fx.Node, lowering: Lowering) -> str | list[str]:
        """Runs the lowering of `node` and names its result after the node."""
        first = len(self.nodes)
        result: str | list[str] = super().lower(node, lowering)
        if len(self.nodes) > first and list(self.nodes[-1].output) == [result]:
            result = self.names.get(node, node.name)
            self.nodes[-1].output[0] = result
            self.nodes[-1].name = f"{self.scope}/{result}"
        self.origins.update((each.name, node) for each in self.nodes[first:])
        return result

    def output(self, node: fx.Node, spec: TensorSpec) -> str:
        """The node's value under the output's name, also where it is an input or another output too."""
        if self.values[node] != spec.name:
            self.nodes.append(helper.make_node("Identity", [self.value(node)], [spec.name], name=spec.name))
        return spec.name

    def has(self, op_type: str, first_opset: int = 1) -> bool:
        """Whether the reader knows an operator, which came with `first_opset`."""
        return self.opset >= first_opset and op_type not in self.dialect.lacks
