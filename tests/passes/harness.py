"""One helper that checks what every pass must do, and small networks to try passes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from voxc.compiler.core.axis import Sizes
from voxc.compiler.core.component import Component
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import TensorSpec
from voxc.passes.base import Pass, PassResult

FRAMES = 12

Shape = tuple[int | str, ...]


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)


def component_of(
    module: nn.Module, *shapes: tuple[int | str, ...], noise: tuple[tuple[int | str, ...], ...] = ()
) -> Component:
    """A component that takes float32 tensors `x0`, `x1`, ... of the given shapes and gives `y`."""

    def spec(name: str, shape: Shape) -> TensorSpec:
        return TensorSpec(name=name, shape=shape, dtype="float32", unit="1", meaning="test")

    inputs = tuple(spec(f"x{index}", shape) for index, shape in enumerate(shapes))
    draws = tuple(spec(f"noise{index}", shape) for index, shape in enumerate(noise))

    def reference(sizes: Sizes, seed: int = 0) -> dict[str, np.ndarray]:
        random = np.random.default_rng(seed)
        return {each.name: random.standard_normal(each.bound_shape(sizes), dtype=np.float32) for each in inputs + draws}

    def shape(frames: int) -> tuple[int, ...]:
        with torch.no_grad():
            arrays = reference({"T": frames})
            return tuple(module.eval()(*(torch.from_numpy(arrays[each.name]) for each in inputs)).shape)

    sizes = later = shape(FRAMES)
    if any(isinstance(size, str) for each in inputs for size in each.shape):
        with contextlib.suppress(RuntimeError):  # the network takes this one length
            later = shape(FRAMES + 1)
    given = tuple(open_size(size, after - size) for size, after in zip(sizes, later, strict=True))
    return Component("test", module, inputs, draws, (spec("y", given),), reference)


def open_size(size: int, growth: int) -> int | str:
    """A size at FRAMES that grows by so much with each frame."""
    offset = size - growth * FRAMES
    if not growth or offset < 0:  # which specs have no words for
        return size
    return (f"{growth}*" if growth > 1 else "") + "T" + (f"+{offset}" if offset else "")


def program_of(module: nn.Module, *shapes: Shape, **options: object) -> Program:
    return export(component_of(module, *shapes, **options), {"T": FRAMES}, dynamic=False)  # type: ignore[arg-type]


def tensors_for(component: Component, frames: int = FRAMES) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in component.reference_inputs({"T": frames}).items()}


def check_pass(
    compiler_pass: Pass,
    component: Component,
    target: Target,
    *,
    fires: bool,
    first: tuple[Pass, ...] = (),
    dynamic: bool = False,
) -> PassResult:
    """Runs a pass after `first` and checks that it fires or not, that a second run finds nothing left, that the program
    it was given is untouched, and that the numbers survive."""
    program = export(component, {"T": FRAMES}, dynamic)
    for earlier in first:
        program = earlier(program, target).program
    before = str(program.graph)
    result = compiler_pass(program, target)
    assert str(program.graph) == before, "a pass must leave the program it is given alone"
    assert result.modified == fires
    if not fires:
        assert str(result.program.graph) == before
    assert not compiler_pass(result.program, target).modified, "a second run must find nothing to do"
    record = result.program.history[-1]
    assert (record.name, record.modified, record.notes) == (compiler_pass.name, fires, result.notes)
    for frames in (FRAMES, FRAMES + 5) if dynamic else (FRAMES,):
        tensors = tensors_for(component, frames)
        expected, actual = component.run(tensors), result.program.run(tensors)
        for name, value in expected.items():
            error = (value - actual[name]).abs().max().item()
            assert error <= compiler_pass.tolerance + sum(each.tolerance for each in first), (
                f"{name} moved by {error:.2g}"
            )
    return result


def calls(program: Program, target: object) -> int:
    return sum(node.target is target for node in program.graph.nodes)
