"""Editing an exported graph without breaking what makes it exported: signature, weights, fake values, module paths."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._guards import detect_fake_mode
from torch._subclasses import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, TensorArgument
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.utils import _pytree as pytree

from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import TensorSpec

# Node metadata that tells where in the user's model a node comes from.
ORIGIN = ("nn_module_stack", "stack_trace", "source_fn_stack", "torch_fn")


class GraphEditor:
    """A working copy of a program's graph; the program itself never changes.

    New nodes are made by `call` at the place that the enclosing `before` names, and get their fake value and the origin
    of that place. `finish` drops what nothing uses any more and gives the new program.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        exported = program.exported
        self.graph: fx.Graph = copy.deepcopy(exported.graph)
        self.weights: dict[str, Tensor] = {**exported.state_dict, **exported.constants}
        # By place: the copy of an input that has the name of a builtin, as `input`, gets another name.
        self.input_specs = {
            node.name: replace(spec, arg=replace(spec.arg, name=node.name))
            for node, spec in zip(self.placeholders(), exported.graph_signature.input_specs, strict=True)
        }
        self.added_inputs: list[TensorSpec] = []
        self.modified = False
        self.place: fx.Node | None = None

    @cached_property
    def fake_mode(self) -> FakeTensorMode:
        mode = detect_fake_mode([node.meta["val"] for node in self.placeholders()])
        assert mode is not None, "an exported graph always has fake inputs"
        return mode

    def calls(self, *targets: Callable[..., Any]) -> list[fx.Node]:
        """The nodes that call one of `targets`, in order."""
        return [node for node in self.graph.nodes if node.op == "call_function" and node.target in targets]

    def placeholders(self) -> list[fx.Node]:
        return [node for node in self.graph.nodes if node.op == "placeholder"]

    def weight(self, node: object) -> Tensor | None:
        """The tensor behind a parameter, buffer or constant; None for everything else."""
        if not isinstance(node, fx.Node) or node.op != "placeholder":
            return None
        target = self.input_specs[node.name].target
        return None if target is None else self.weights[target]

    def weight_key(self, node: fx.Node) -> str:
        """The name of a weight in the user's model."""
        target = self.input_specs[node.name].target
        assert target is not None, f"{node.name} is an input, not a weight"
        return target

    @contextmanager
    def before(self, node: fx.Node) -> Iterator[None]:
        """Within it, `call` puts new nodes in front of `node`."""
        outer, self.place = self.place, node
        try:
            with self.graph.inserting_before(node):
                yield
        finally:
            self.place = outer

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        assert self.place is not None, "call() needs an enclosing before()"
        node = self.graph.call_function(target, args, kwargs)
        node.meta.update({key: self.place.meta[key] for key in ORIGIN if key in self.place.meta})
        self.infer(node)
        return node

    def infer(self, node: fx.Node) -> None:
        """Gives a call the fake value that follows from its operands."""
        assert callable(node.target)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda argument: argument.meta["val"])
        with self.fake_mode, enable_python_dispatcher():  # which keeps symbolic sizes symbolic
            node.meta["val"] = node.target(*args, **kwargs)

    def replace(self, node: fx.Node, replacement: fx.Node) -> None:
        node.replace_all_uses_with(replacement)
        self.modified = True

    def add_weight(self, key: str, tensor: Tensor) -> fx.Node:
        """A new weight named `key` in the model (numbered if the name is taken); weights stand before inputs."""
        key = next(name for name in numbered(key) if name not in self.weights)
        self.weights[key] = torch.nn.Parameter(tensor.contiguous(), requires_grad=False)
        first_input = next(node for node in self.graph.nodes if self.weight(node) is None)
        value = self.fake_mode.from_tensor(tensor, static_shapes=True)
        node = self.add_placeholder(f"p_{key}".replace(".", "_"), value, first_input)
        self.input_specs[node.name] = InputSpec(InputKind.PARAMETER, TensorArgument(name=node.name), key)
        return node

    def add_input(self, spec: TensorSpec, value: Tensor) -> fx.Node:
        """A new user input, last in order, of the shape of `value`."""
        first_call = next(node for node in self.graph.nodes if node.op != "placeholder")
        node = self.add_placeholder(spec.name, value, first_call)
        self.input_specs[node.name] = InputSpec(InputKind.USER_INPUT, TensorArgument(name=node.name), None)
        self.added_inputs.append(spec)
        return node

    def add_placeholder(self, name: str, value: Tensor, following: fx.Node) -> fx.Node:
        with self.graph.inserting_before(following):
            node = self.graph.placeholder(name)
        node.meta["val"] = value
        return node

    def drop_dead_nodes(self) -> None:
        """Drops calls whose value nothing uses, and unused weights."""
        self.graph.eliminate_dead_code()
        for node in self.placeholders():
            if self.weight(node) is not None and not node.users:
                self.graph.erase_node(node)

    def finish(self) -> Program:
        """The edited program, without dead nodes and unused weights."""
        self.drop_dead_nodes()
        return replace(
            self.program,
            exported=self.rebuild(),
            inputs=(*self.program.inputs, *self.added_inputs),
            noise=tuple(spec for spec in self.program.noise if spec not in self.added_inputs),
        )

    def rebuild(self) -> ExportedProgram:
        exported = self.program.exported
        input_specs = [self.input_specs[node.name] for node in self.placeholders()]
        user_inputs = [spec for spec in input_specs if spec.kind == InputKind.USER_INPUT]
        constants = {spec.target for spec in input_specs if is_constant(spec)}
        used = {spec.target: self.weights[spec.target] for spec in input_specs if spec.target is not None}
        outputs = [
            replace(spec, arg=TensorArgument(name=value.name))
            for spec, value in zip(exported.graph_signature.output_specs, self.output_values(), strict=True)
        ]
        calls = copy.copy(exported.module_call_graph)
        if calls and calls[0].signature is not None:
            in_spec = pytree.tree_structure((tuple(0 for _ in user_inputs), {}))
            signature = replace(
                calls[0].signature, inputs=[spec.arg for spec in user_inputs], outputs=[spec.arg for spec in outputs],
                in_spec=in_spec, forward_arg_names=None,
            )  # fmt: skip
            calls[0] = replace(calls[0], signature=signature)
        return ExportedProgram(
            root=torch.nn.Module(),
            graph=self.graph,
            graph_signature=ExportGraphSignature(input_specs, outputs),
            state_dict={key: tensor for key, tensor in used.items() if key not in constants},
            range_constraints=exported.range_constraints,
            module_call_graph=calls,
            example_inputs=None,
            constants={key: tensor for key, tensor in used.items() if key in constants},
            verifiers=exported.verifiers,
        )

    def output_values(self) -> list[fx.Node]:
        return list(next(node for node in self.graph.nodes if node.op == "output").args[0])


def is_constant(spec: InputSpec) -> bool:
    """Whether the tensor behind an input is in no state dict: a constant, or a buffer that is not saved."""
    return spec.kind == InputKind.CONSTANT_TENSOR or (spec.kind == InputKind.BUFFER and not spec.persistent)


def numbered(name: str) -> Iterator[str]:
    """`name`, then `name_1`, `name_2`, ..."""
    yield name
    number = 1
    while True:
        yield f"{name}_{number}"
        number += 1


def same_shape(a: fx.Node, b: fx.Node) -> bool:
    """Whether two nodes provably have the same shape and dtype, whatever the symbolic sizes are."""
    left, right = a.meta["val"], b.meta["val"]
    return (
        left.dtype == right.dtype
        and left.dim() == right.dim()
        and all(statically_known_true(m == n) for m, n in zip(left.shape, right.shape, strict=True))
    )


def same_size(a: int | torch.SymInt, b: int | torch.SymInt) -> bool:
    return bool(statically_known_true(a == b))
