"""The way through a graph that all emitters share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from torch import Tensor, fx

from voxc.backends.lowering.source import place
from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.lowering.weight import Weight
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import TensorSpec

V = TypeVar("V")


class Builder(ABC, Generic[V]):
    """An artifact under construction, one node of the graph at a time; `V` is what stands for a tensor in its format.

    A subclass says what inputs, weights and outputs become, and has methods with which lowerings write operators.
    `node` is the node that is being lowered. `values` has what the nodes before it became: a value, a weight that is
    not stored yet, or a list of these for several results. `format` names the format in messages.
    """

    node: fx.Node

    def __init__(self, program: Program, format: str) -> None:
        self.program = program
        self.format = format
        self.values: dict[fx.Node, Any] = {}
        self.inputs: dict[str, V] = {}
        self.outputs: dict[str, V] = {}

    @abstractmethod
    def input(self, node: fx.Node, spec: TensorSpec) -> V:
        """An input of the artifact."""

    @abstractmethod
    def weight(self, name: str, tensor: Tensor) -> V | Weight:
        """A parameter, buffer or constant of the network, by its name there."""

    @abstractmethod
    def output(self, node: fx.Node, spec: TensorSpec) -> V:
        """An output of the artifact, of a node's value."""

    def lower(self, node: fx.Node, lowering: Lowering) -> Any:
        """What the lowering of `node` gives."""
        return lowering(self, node, *call_arguments(node))

    def lower_graph(self, lowerings: Lowerings) -> None:
        """Lowers the whole program, in the order of its graph.

        Raises:
            UnsupportedError: a call has no lowering, or one that does not cover its arguments; names the operator, its
                module, its node and its line in the user's model.
        """
        specs = iter(self.program.inputs)
        for node in self.program.graph.nodes:
            self.node = node
            if node.op == "placeholder":
                self.values[node] = self.placeholder(node, specs)
            elif node.op == "call_function":
                if node.target not in lowerings:
                    raise self.refuse("there is no lowering for this operator")
                self.values[node] = self.lower(node, lowerings[node.target])
        for node, spec in zip(self.program.results, self.program.outputs, strict=True):
            self.node = node
            self.outputs[spec.name] = self.output(node, spec)

    def placeholder(self, node: fx.Node, specs: Iterator[TensorSpec]) -> V | Weight:
        key, tensor = self.program.weight_key(node), self.program.weight(node)
        if key is not None and tensor is not None:
            return self.weight(key, tensor)
        spec = next(specs)
        self.inputs[spec.name] = self.input(node, spec)
        return self.inputs[spec.name]

    @property
    def origin(self) -> str:
        """The module in the user's model that the node comes from, or the component."""
        return module_path(self.node) or self.program.name

    def refuse(self, reason: str) -> UnsupportedError:
        """The error for a call that the format cannot express."""
        return UnsupportedError(f"{self.format}: {place(self.node, self.program.name)}: {reason}")
