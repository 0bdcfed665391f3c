"""How long layers take in a target's runtime on this machine, as floats and as integers.

A layer is timed by itself and several times in a row. On targets with float16 arithmetic the floats are float16, and
integers begin and end as floats: what runs fast there takes floats from outside, and rounds them itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.core import ops  # noqa: F401, the quantized layer is made of these operators
from voxc.compiler.core.axis import Sizes
from voxc.compiler.core.component import Component
from voxc.compiler.core.figure import Evidence
from voxc.compiler.core.plan import Precision, PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Scheme, Target
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.measure.latency import interleave
from voxc.compiler.precision.clocks import Choice, Clock, LayerTime, floats_of
from voxc.compiler.precision.subject import Subject
from voxc.passes.precision.quantizable import operands

# A layer whose output has its input's shape runs as often in a row, so that handing tensors over counts for little.
REPEATS = 4
RUNS, SECONDS = 3, 0.5
FORMS = ("floats", "int8")
NOT_KEPT = Keeper()
WHOLE_RUNS, WHOLE_SECONDS = 5, 2.0
# Any scale serves: integer kernels take the same time for all.
SCALE = 0.05
ZERO_POINTS = {torch.int8: (-3, 0), torch.uint8: (125, 128)}  # on an affine grid, and on a symmetric one


class LayerClock(Clock):
    """Times layers; equal ones, by operator, shapes and settings, only once."""

    evidence: Evidence = "host"

    def __init__(self, load: Callable[[Program], Runner], target: Target, told: str, keeper: Keeper = NOT_KEPT) -> None:
        self.load, self.target, self.told, self.keeper = load, target, told, keeper
        self.known: dict[object, LayerTime] = {}

    def time(self, program: Program, node: fx.Node) -> LayerTime:
        layer = Layer.of(program, node)
        if layer.key not in self.known:
            own = self.keeper.on(repr(layer.key))
            self.known[layer.key] = own.json("timings", LayerTime, lambda: self.measure(layer))
        return self.known[layer.key]

    def measure(self, layer: Layer) -> LayerTime:
        runs = {}
        for form in FORMS:
            program, inputs = self.program(layer, form)
            runner = self.load(program)
            runs[form] = lambda runner=runner, inputs=inputs: runner.run(inputs)
        taken = interleave(runs, RUNS, SECONDS)
        return LayerTime(**{form: latency.median / layer.repeats for form, latency in taken.items()})

    def program(self, layer: Layer, form: str) -> tuple[Program, Mapping[str, Array]]:
        """One form of a layer with its plan, and inputs for it."""
        scheme, halves = self.target.scheme, self.target.arithmetic == "float16"
        assert scheme is not None, "annotate_precision has refused it"
        floats: Precision = floats_of(self.target) if halves else "fp32"
        component = layer.component(scheme if form == "int8" else None, between_floats=halves)
        program = export(component, {}, dynamic=False, decompose=False)
        integers: list[str] = []
        if form == "int8" and halves:
            integers = [node.name for node in program.graph.nodes if node.target is layer.target]
        plan = PrecisionPlan(default=floats, nodes=dict.fromkeys(integers, "int8"))
        return replace(program, plan=plan), component.reference_inputs({})

    def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
        if len(choices) < 2:
            return list(choices)
        inputs = {name: tensor.numpy() for name, tensor in subject.inputs[0].items()}

        def runner(choice: Choice) -> Callable[[], object]:
            loaded = self.load(subject.quantized(choice))
            return lambda: loaded.run(inputs)

        runs = {str(place): runner(choice) for place, choice in enumerate(choices)}
        taken = interleave(runs, WHOLE_RUNS, WHOLE_SECONDS)
        return sorted(choices, key=lambda choice: taken[str(choices.index(choice))].median)


@dataclass(frozen=True)
class Layer:
    """One call of a graph by itself: its operator, its arguments with a slot for each tensor, and what stands in the
    slots, in order: the shape of an activation, or a weight. `axis` is that of the weight's output channels."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    slots: tuple[tuple[int, ...] | Tensor, ...]
    axis: int
    repeats: int

    @classmethod
    def of(cls, program: Program, node: fx.Node) -> Layer:
        slots: list[tuple[int, ...] | Tensor] = []

        def slot(source: fx.Node) -> str:
            weight = program.weight(source) if source.op == "placeholder" else None
            slots.append(tuple(source.meta["val"].shape) if weight is None else weight)
            return SLOT

        args, kwargs = fx.map_arg((node.args, node.kwargs), slot)
        activations = [each for each in slots if isinstance(each, tuple)]
        shape = tuple(node.meta["val"].shape)
        assert callable(node.target)
        found = operands(program, node)
        axis = found.axis if found else 0
        return cls(node.target, args, kwargs, tuple(slots), axis, REPEATS if activations[:1] == [shape] else 1)

    @property
    def key(self) -> object:
        shapes = tuple(slot if isinstance(slot, tuple) else ("weight", *slot.shape) for slot in self.slots)
        return str(self.target), repr((self.args, self.kwargs)), shapes

    def component(self, integers: Scheme | None, *, between_floats: bool = False) -> Component:
        """The layer as a network of its own: on floats, or on integers, which may come from floats and become floats
        again outside."""
        module = Repeated(self, integers, between_floats=between_floats)
        dtype = "float32" if integers is None or between_floats else integers.activations
        inputs = tuple(
            TensorSpec(name=f"x{index}", shape=slot, dtype=dtype, unit="1", meaning="activation")
            for index, slot in enumerate(self.slots)
            if isinstance(slot, tuple)
        )

        def reference(sizes: Sizes, seed: int = 0) -> dict[str, Array]:
            random = np.random.default_rng(seed)
            return {
                spec.name: random.standard_normal(spec.bound_shape(sizes), dtype=np.float32)
                if dtype == "float32"
                else random.integers(0, 256, spec.bound_shape(sizes)).astype(np.uint8).view(dtype)
                for spec in inputs
            }

        with torch.inference_mode():
            shape = module(*(torch.from_numpy(array) for array in reference({}).values())).shape
        output = TensorSpec(name="y", shape=tuple(shape), dtype=dtype, unit="1", meaning="activation")
        return Component("layer", module, inputs, (), (output,), reference)


#: Stands for a tensor among the arguments of a layer.
SLOT = "tensor"


class Repeated(nn.Module):
    """A layer applied to its own output, as floats or between integers."""

    def __init__(self, layer: Layer, integers: Scheme | None, *, between_floats: bool) -> None:
        super().__init__()
        self.layer, self.rounds_outputs = layer, integers is not None and integers.outputs == "integers"
        self.is_integer, self.between_floats = integers is not None, between_floats
        if integers is not None:
            self.dtype = getattr(torch, integers.activations)
            self.zero_point = ZERO_POINTS[self.dtype][integers.symmetric]
        self.weights = nn.ParameterList(
            nn.Parameter(slot if integers is None else as_integers(slot, slot.dim() > 1), requires_grad=False)
            for slot in layer.slots
            if isinstance(slot, Tensor)
        )
        for index, weight in enumerate(self.weights):
            # Integer kernels want the scale of a bias to be that of the product that it is added to.
            scale, axis = (SCALE, layer.axis) if weight.dim() > 1 else (SCALE * SCALE, 0)
            self.register_buffer(f"scale{index}", torch.full((weight.shape[axis],), scale))

    def forward(self, *activations: Tensor) -> Tensor:
        first, *others = activations
        for _ in range(self.layer.repeats):
            first = self.once(first, *others)
        return first

    def once(self, *activations: Tensor) -> Tensor:
        given = iter(activations)
        weights = iter(self.weights)
        tensors, number = [], 0
        for slot in self.layer.slots:
            if isinstance(slot, tuple):
                tensors.append(self.taken(next(given)))
            else:
                value, scale = next(weights), getattr(self, f"scale{number}")
                tensors.append(self.real(value, scale) if self.is_integer else value)
                number += 1
        slots = iter(tensors)
        args, kwargs = pytree.tree_map(
            lambda each: next(slots) if each is SLOT else each, (self.layer.args, self.layer.kwargs)
        )
        result: Tensor = self.layer.target(*args, **kwargs)
        return self.given(result)

    def taken(self, value: Tensor) -> Tensor:
        """What the layer takes of an activation."""
        if not self.is_integer:
            return value
        return self.dequantize(self.quantize(value) if self.between_floats else value)

    def given(self, result: Tensor) -> Tensor:
        if not self.is_integer or (self.between_floats and not self.rounds_outputs):
            return result
        rounded = self.quantize(result)
        return self.dequantize(rounded) if self.between_floats else rounded

    def quantize(self, value: Tensor) -> Tensor:
        rounded: Tensor = torch.ops.voxc.quantize(value, SCALE, self.zero_point, self.dtype)
        return rounded

    def dequantize(self, value: Tensor) -> Tensor:
        real: Tensor = torch.ops.voxc.dequantize(value, SCALE, self.zero_point)
        return real

    def real(self, weight: Tensor, scale: Tensor) -> Tensor:
        real: Tensor = torch.ops.voxc.dequantize_channels(weight, scale, self.layer.axis if weight.dim() > 1 else 0)
        return real


def as_integers(weight: Tensor, is_weight: bool) -> Tensor:
    """Random integers of a weight's shape: int8, or int32 for a bias."""
    dtype = torch.int8 if is_weight else torch.int32
    return torch.randint(-127, 128, weight.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
