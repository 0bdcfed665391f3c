"""A component on its way through the passes."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import Dim, ExportedProgram

from voxc.compiler.core.axis import TIME, Sizes
from voxc.compiler.core.component import Component, named
from voxc.compiler.core.draws import ReplayNoise
from voxc.compiler.core.errors import CompileError
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.tensor import TensorSpec, terms


@dataclass(frozen=True)
class PassRecord:
    """What a pass did, for the manifest; `seconds` is the time it took."""

    name: str
    modified: bool
    notes: tuple[str, ...]
    seconds: float


#: What PyTorch's own kernels refuse of tensors that another layout has left permuted.
NEEDS_CONTIGUOUS = frozenset({torch.ops.aten.native_group_norm.default})

Watch = Callable[[fx.Node, Any], None]


class WatchedInterpreter(fx.Interpreter):
    """Tells `watch` each node and its value, and keeps values only as long as they are needed."""

    def __init__(self, module: fx.GraphModule, watch: Watch) -> None:
        super().__init__(module)
        self.extra_traceback = False  # it would be written into the messages of our own errors
        self.watch = watch

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in NEEDS_CONTIGUOUS:
            args = tuple(each.contiguous() if isinstance(each, Tensor) else each for each in args)
        return super().call_function(target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.watch(n, value)
        return value


@dataclass(frozen=True)
class Program:
    """One component in flight: an exported graph in core ATen, its specs, its precision plan and its history.

    `inputs` are the graph's user inputs in order. `noise` are the draws that are still inside the graph. `sizes` are
    the lengths of the axes, which are also the examples for symbolic ones.
    """

    name: str
    exported: ExportedProgram
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    noise: tuple[TensorSpec, ...]
    sizes: Sizes
    plan: PrecisionPlan = field(default_factory=PrecisionPlan)
    history: tuple[PassRecord, ...] = ()

    @property
    def frames(self) -> int:
        """The length of a segment; 1 for a network without a time axis."""
        return self.sizes.get(TIME, 1)

    @property
    def graph(self) -> fx.Graph:
        return self.exported.graph

    @property
    def results(self) -> list[fx.Node]:
        """The nodes that the graph gives, in the order of `outputs`."""
        return list(next(node for node in self.graph.nodes if node.op == "output").args[0])

    def run(self, tensors: Mapping[str, Tensor], watch: Watch = lambda node, value: None) -> dict[str, Tensor]:
        """Evaluates the graph with PyTorch's own kernels on `tensors` (inputs, and noise still inside, by name).

        `watch` is told what every node gives.
        """
        weights = [self.weight(node) for node in self.graph.nodes if node.op == "placeholder"]
        given = iter([tensors[spec.name] for spec in self.inputs])
        arguments = [next(given) if tensor is None else tensor for tensor in weights]
        with torch.inference_mode(), ReplayNoise([tensors[spec.name] for spec in self.noise]):
            outputs = WatchedInterpreter(self.exported.graph_module, watch).run(*arguments)
        return named(self.outputs, outputs)

    def weight_key(self, placeholder: fx.Node) -> str | None:
        """The name in the user's model of the weight, buffer or constant behind a placeholder; None for an input."""
        return self.weight_keys.get(placeholder.name)

    @cached_property
    def weight_keys(self) -> Mapping[str, str]:
        """The same for all of them, by the names of the placeholders."""
        signature = self.exported.graph_signature
        return {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }

    def weight(self, placeholder: fx.Node) -> Tensor | None:
        """The tensor behind a placeholder; None for an input."""
        key = self.weight_key(placeholder)
        if key is None:
            return None
        state = self.exported.state_dict
        return state[key] if key in state else self.exported.constants[key]

    def compute_nodes(self) -> list[str]:
        """Names of the nodes that compute a tensor: what the precision plan speaks of."""
        return [
            node.name
            for node in self.graph.nodes
            if node.op == "call_function"
            and node.target is not operator.getitem
            and isinstance(node.meta.get("val"), Tensor | tuple | list)
        ]


def export(component: Component, sizes: Sizes, dynamic: bool, *, decompose: bool = True) -> Program:
    """Traces a component to core ATen with axes of these lengths, symbolic in all of them if `dynamic`. One that calls
    nothing but core ATen need not be decomposed, which takes half of the time.

    Raises:
        CompileError: torch.export cannot trace it; the message carries PyTorch's own first line.
    """
    reference = component.reference_inputs(sizes)
    arguments = tuple(torch.from_numpy(reference[spec.name]) for spec in component.inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.export's own use of its pytree
            exported = torch.export.export(
                component.module, arguments, dynamic_shapes=open_shapes(component) if dynamic else None, strict=False
            )
            if decompose:
                exported = exported.run_decompositions()
    except (torch._dynamo.exc.UserError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CompileError(f"{component.name}: torch.export refused the network: {reason}") from error

    def bound(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return specs if dynamic else tuple(spec.bind(sizes) for spec in specs)

    return Program(
        component.name,
        exported,
        inputs=bound(component.inputs),
        outputs=bound(component.outputs),
        noise=bound(component.noise),
        sizes=sizes,
    )


def open_shapes(component: Component) -> tuple[dict[int, Any], ...]:
    """torch.export's symbols for the axes of a component, by the position of the dimension, for each input."""
    symbols = {axis.name: Dim(axis.name, min=axis.least, max=axis.most) for axis in component.axes}
    return tuple(
        {place: affine(dim, symbols) for place, dim in enumerate(spec.shape) if isinstance(dim, str)}
        for spec in component.inputs
    )


def affine(dim: str, symbols: Mapping[str, Any]) -> Any:
    """torch.export's spelling of a symbolic dimension, which has no `1 * T` and no `T + 0`."""
    factor, axis, offset = terms(dim)
    scaled = symbols[axis] if factor == 1 else factor * symbols[axis]
    return scaled + offset if offset else scaled
