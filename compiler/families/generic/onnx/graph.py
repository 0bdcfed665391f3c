"""Walks an ONNX graph once: computes what is known beforehand, and collects the rest as steps."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.onnx.call import Call, Function, Value
from voxc.compiler.families.generic.onnx.module import Names, OnnxNetwork, Operand, Step, Wiring, spent_slots
from voxc.compiler.families.generic.onnx.ops import ROWS
from voxc.compiler.families.generic.onnx.tensors import attribute_value, read_tensor

Scope = MutableMapping[str, Value]

MAX_NODES = 200_000  # after functions are written out, which may call functions
MAX_DEPTH = 30
MAX_FOLDED_BYTES = 4 << 30
FIRST_OPSET = 7  # broadcasting was an attribute before
#: Operators that PyTorch cannot export with static shapes, and what to do instead.
REFUSED = {
    "Loop": "loops are not supported; unroll them when exporting",
    "Scan": "loops are not supported; unroll them when exporting",
    **dict.fromkeys(
        ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"),
        "draws random numbers; export the network with its noise as an input",
    ),
}
#: What PyTorch raises where shapes, types or attributes of a node do not fit each other.
MISFITS = (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError, ZeroDivisionError, OverflowError)
#: Characters that names of nodes lose as names of modules; "/" stays, as exporters put it there.
NOT_IN_PATHS = r"[^\w/:\-]"


class GraphWalk:
    """The state of one walk. Values are constants or, where they depend on the inputs, have a slot."""

    def __init__(self, path: Path, functions: Mapping[tuple[str, str], Any]) -> None:
        self.path = path
        self.functions = functions
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.slots: dict[Value, int] = {}
        self.converted: dict[Value, Value] = {}
        self.weights: dict[int, str] = {}  # by the identity of the tensor
        self.tensors: dict[str, Tensor] = {}
        self.steps: dict[str, Step] = {}
        self.wirings: list[Wiring] = []
        self.names = Names()
        self.nodes = 0
        self.folded_bytes = 0
        self.warnings: list[str] = []

    # Values.

    def add_input(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Value:
        with self.mode:
            value = Value(name, torch.empty(tuple(shape), dtype=dtype))
        self.slots[value] = len(self.slots)
        return value

    def add_constant(self, name: str, tensor: Tensor) -> Value:
        return Value(name, self.mode.from_tensor(tensor), tensor)

    def in_float32(self, value: Value) -> Value:
        """The same each time, so that a weight that several nodes read is there once."""
        return self.converted.setdefault(value, value.in_float32())

    def operand(self, value: Value) -> Operand:
        """Where the network finds a value; a constant becomes one of its weights."""
        if value.constant is None:
            return Operand(slot=self.slots[value])
        key = id(value.constant)
        if key not in self.weights:
            self.weights[key] = self.names.claim(value.name)
            self.tensors[self.weights[key]] = value.constant
        return Operand(self.weights[key])

    # Nodes.

    def walk(self, nodes: Sequence[Any], scope: Scope, opsets: Mapping[str, int], depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise CheckpointError(f"{self.path}: functions or branches are nested more than {MAX_DEPTH} deep")
        for node in nodes:
            self.nodes += 1
            if self.nodes > MAX_NODES:
                raise CheckpointError(f"{self.path}: has more than {MAX_NODES} nodes")
            results = self.visit(self.call(node, scope, opsets), node, scope, opsets, depth)
            scope.update({name: value for name, value in zip(node.output, results, strict=False) if name})

    def call(self, node: Any, scope: Scope, opsets: Mapping[str, int]) -> Call:
        domain = "" if node.domain == "ai.onnx" else node.domain
        name = node.name or f"{node.op_type}:{next(iter(node.output), '')}"
        call = Call(
            self.path, name, node.op_type, domain, opsets.get(domain, 1),
            {each.name: attribute_value(each) for each in node.attribute if not each.ref_attr_name},
            (), len(node.output),
        )  # fmt: skip
        missing = [each for each in node.input if each and each not in scope]
        if missing:
            raise call.refuse(f"its input {missing[0]!r} is nowhere computed")
        call.inputs = tuple(scope[each] if each else None for each in node.input)
        if not call.folds:
            call.inputs = tuple(value and self.in_float32(value) for value in call.inputs)
        return call

    def visit(self, call: Call, node: Any, scope: Scope, opsets: Mapping[str, int], depth: int) -> Sequence[Value]:
        function = self.functions.get((node.domain, node.op_type))
        if function is not None:
            return self.write_out(call, function, node, depth)
        if call.domain == "" and call.op_type == "If":
            return self.branch(call, scope, opsets, depth)
        if call.domain == "" and call.opset < FIRST_OPSET:
            raise call.refuse(f"opsets before {FIRST_OPSET} are not supported; convert it with onnx.version_converter")
        row = ROWS.get((call.domain, call.op_type))
        if row is None:
            raise call.refuse(REFUSED.get(call.op_type, "this operator is not supported"))
        return self.compute(call, row(call), node.output)

    def branch(self, call: Call, scope: Scope, opsets: Mapping[str, int], depth: int) -> Sequence[Value]:
        chosen = bool(call.static(0, "condition").reshape(-1)[0])
        graph = call.required("then_branch" if chosen else "else_branch")
        inner: Scope = ChainMap({}, scope)
        self.add_initializers(graph, inner)
        self.walk(graph.node, inner, opsets, depth + 1)
        return [inner[output.name] for output in graph.output]

    def write_out(self, call: Call, function: Any, node: Any, depth: int) -> Sequence[Value]:
        """A function of the file in the place where it is called."""
        inner: Scope = {name: value for name, value in zip(function.input, call.inputs, strict=False) if value}
        attributes = {each.name: each for each in (*function.attribute_proto, *node.attribute)}
        nodes = [with_attributes(each, attributes, call.name) for each in function.node]
        self.walk(nodes, inner, {each.domain: each.version for each in function.opset_import}, depth + 1)
        missing = [name for name in function.output if name not in inner]
        if missing:
            raise call.refuse(f"the function does not compute its output {missing[0]!r}")
        return [inner[name] for name in function.output]

    def add_initializers(self, graph: Any, scope: Scope) -> None:
        if graph.sparse_initializer:
            raise CheckpointError(f"{self.path}: sparse tensors are not supported")
        for tensor in graph.initializer:
            scope[tensor.name] = self.add_constant(tensor.name, read_tensor(tensor, self.path))

    def compute(self, call: Call, function: Function, names: Sequence[str]) -> Sequence[Value]:
        """Folds a node whose inputs are constants; makes a step of any other."""
        inputs = [None if index in call.read else value for index, value in enumerate(call.inputs)]
        try:
            with self.mode:
                fakes = as_tuple(function(*(value and value.fake for value in inputs)))
            self.check_sizes(call, fakes)
            if call.folds:
                with torch.no_grad():
                    constants = as_tuple(function(*(value and value.constant for value in inputs)))
                return [self.add_constant(name, tensor) for name, tensor in zip(names, constants, strict=False)]
        except MISFITS as error:
            raise call.refuse(str(error).partition("\n")[0]) from error
        self.warnings += call.warnings
        values = [Value(name, fake) for name, fake in zip(names, fakes, strict=False)]
        for value in values:
            self.slots[value] = len(self.slots)
        step = self.names.claim(call.name, NOT_IN_PATHS)
        self.steps[step] = Step(function)
        operands = tuple(None if value is None else self.operand(value) for value in inputs)
        self.wirings.append(Wiring(step, operands, tuple(self.slots[value] for value in values), ()))
        return values

    def check_sizes(self, call: Call, fakes: Sequence[Tensor]) -> None:
        call.bounded([sum(fake.numel() for fake in fakes)])
        if call.folds:
            self.folded_bytes += sum(fake.numel() * fake.element_size() for fake in fakes)
            if self.folded_bytes > MAX_FOLDED_BYTES:
                raise call.refuse(f"the constants computed so far take more than {MAX_FOLDED_BYTES >> 30} GiB")

    # The end.

    def network(self, outputs: Sequence[Value]) -> nn.Module:
        """The network that gives `outputs`, without the steps that they do not need."""
        operands = [self.operand(value) for value in outputs]
        needed = {operand.slot for operand in operands}
        wirings = []
        for wiring in reversed(self.wirings):
            if needed.intersection(wiring.results):
                needed.update(operand.slot for operand in wiring.operands if operand)
                wirings.append(wiring)
        network = OnnxNetwork(spent_slots(wirings[::-1], operands), operands)
        used = {operand.weight for wiring in wirings for operand in wiring.operands if operand}
        for name in sorted({operand.weight for operand in operands} | used, key=str):
            if name is None:
                continue
            tensor = self.tensors[name].contiguous()
            if tensor.is_floating_point():
                network.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
            else:
                network.register_buffer(name, tensor)
        for wiring in wirings[::-1]:
            network.add_module(wiring.step, self.steps[wiring.step])
        return network.eval()


def as_tuple(result: Any) -> tuple[Tensor, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def with_attributes(node: Any, attributes: Mapping[str, Any], prefix: str) -> Any:
    """A node of a function with the attributes of the call, under a name that says where it is."""
    copy = type(node)()
    copy.CopyFrom(node)
    copy.name = f"{prefix}/{node.name or node.op_type}"
    for attribute in [each for each in copy.attribute if each.ref_attr_name]:
        given = attributes.get(attribute.ref_attr_name)
        name = attribute.name
        copy.attribute.remove(attribute)
        if given is not None:
            filled = copy.attribute.add()
            filled.CopyFrom(given)
            filled.name = name
    return copy
