"""How long one layer takes in a target's runtime, as floats and as integers, by itself and several times in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from voxc.backends.base import Runner
from voxc.compiler import ops  # noqa: F401, the quantized layer is made of these operators
from voxc.compiler.measure.latency import interleave
from voxc.compiler.program import Component, Program, export
from voxc.compiler.tensor import Array, TensorSpec
from voxc.passes.quantizable import operands

# A layer whose output has its input's shape runs as often in a row, so that handing tensors over counts for little.
REPEATS = 4
RUNS, SECONDS = 3, 0.5
# Any scale serves: integer kernels take the same time for all.
SCALE = 0.05
ZERO_POINTS = {torch.int8: -3, torch.uint8: 125}


@dataclass(frozen=True)
class LayerTime:
    """Seconds for one layer in each form, medians of runs in turn."""

    float32: float
    int8: float

    @property
    def saved(self) -> float:
        return self.float32 - self.int8


class LayerClock:
    """Times layers; equal ones, by operator, shapes and settings, only once.

    `activations` is the type of integer that the target stores them in: runtimes have fast kernels for one alone.
    """

    def __init__(self, load: Callable[[Program], Runner], activations: str) -> None:
        self.load = load
        self.activations = activations
        self.known: dict[object, LayerTime] = {}

    def time(self, program: Program, node: fx.Node) -> LayerTime:
        layer = Layer.of(program, node)
        if layer.key not in self.known:
            self.known[layer.key] = self.measure(layer)
        return self.known[layer.key]

    def measure(self, layer: Layer) -> LayerTime:
        runs = {}
        for form, activations in (("float32", "float32"), ("int8", self.activations)):
            component = layer.component(activations)
            inputs = component.reference_inputs(1)
            runner = self.load(export(component, 1, dynamic=False))
            runs[form] = lambda runner=runner, inputs=inputs: runner.run(inputs)
        taken = interleave(runs, RUNS, SECONDS)
        return LayerTime(**{form: latency.median / layer.repeats for form, latency in taken.items()})


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
        found = operands(node, lambda source: program.weight(source) is not None)
        axis = found.axis if found else 0
        return cls(node.target, args, kwargs, tuple(slots), axis, REPEATS if activations[:1] == [shape] else 1)

    @property
    def key(self) -> object:
        shapes = tuple(slot if isinstance(slot, tuple) else ("weight", *slot.shape) for slot in self.slots)
        return str(self.target), repr((self.args, self.kwargs)), shapes

    def component(self, dtype: str) -> Component:
        """The layer as a network of its own, on activations in float32 or in integers."""
        inputs = tuple(
            TensorSpec(name=f"x{index}", shape=slot, dtype=dtype, unit="1", meaning="activation")
            for index, slot in enumerate(self.slots)
            if isinstance(slot, tuple)
        )
        output = TensorSpec(name="y", shape=(1,), dtype=dtype, unit="1", meaning="activation")

        def reference(frames: int, seed: int = 0) -> dict[str, Array]:
            random = np.random.default_rng(seed)
            return {
                spec.name: random.standard_normal(spec.sizes(frames), dtype=np.float32)
                if dtype == "float32"
                else random.integers(0, 256, spec.sizes(frames)).astype(np.uint8).view(dtype)
                for spec in inputs
            }

        module = Repeated(self, None if dtype == "float32" else getattr(torch, dtype))
        with torch.inference_mode():
            shape = module(*(torch.from_numpy(array) for array in reference(1).values())).shape
        output = output.model_copy(update={"shape": tuple(shape)})
        return Component("layer", module, inputs, (), (output,), reference)


#: Stands for a tensor among the arguments of a layer.
SLOT = "tensor"


class Repeated(nn.Module):
    """A layer applied to its own output, as floats or between integers."""

    def __init__(self, layer: Layer, integers: torch.dtype | None) -> None:
        super().__init__()
        self.layer, self.integers = layer, integers
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
        quantized, integers = torch.ops.voxc, self.integers
        given = iter(activations)
        weights = iter(self.weights)
        tensors, number = [], 0
        for slot in self.layer.slots:
            if isinstance(slot, tuple):
                value = next(given)
                tensors.append(value if integers is None else quantized.dequantize(value, SCALE, ZERO_POINTS[integers]))
            else:
                value, scale = next(weights), getattr(self, f"scale{number}")
                tensors.append(value if integers is None else self.real(value, scale))
                number += 1
        slots = iter(tensors)
        args, kwargs = pytree.tree_map(
            lambda each: next(slots) if each is SLOT else each, (self.layer.args, self.layer.kwargs)
        )
        result: Tensor = self.layer.target(*args, **kwargs)
        return result if integers is None else quantized.quantize(result, SCALE, ZERO_POINTS[integers], integers)

    def real(self, weight: Tensor, scale: Tensor) -> Tensor:
        real: Tensor = torch.ops.voxc.dequantize_channels(weight, scale, self.layer.axis if weight.dim() > 1 else 0)
        return real


def as_integers(weight: Tensor, is_weight: bool) -> Tensor:
    """Random integers of a weight's shape: int8, or int32 for a bias."""
    dtype = torch.int8 if is_weight else torch.int32
    return torch.randint(-127, 128, weight.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
