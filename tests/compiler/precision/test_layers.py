from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from tests.backends.onnx.test_quantization import optimized
from tests.compiler.precision.networks import no_runtime, subject_of, three
from tests.passes.harness import FRAMES, component_of
from voxc.backends import find_backend
from voxc.backends.onnx.emitter import emit
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Scheme, Target, load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.latency import Latency
from voxc.compiler.precision import layers
from voxc.compiler.precision.clocks import LayerTime
from voxc.compiler.precision.layers import REPEATS, Layer, LayerClock
from voxc.passes.layout.channels_last import ChannelsLast
from voxc.passes.precision.rules import has_weight
from voxc.passes.simplify.clean_up import CleanUp

TARGETS = [load_targets()[name] for name in ("onnxruntime-cpu", "tflite-int8")]


class Layers(nn.Module):
    """Two equal convolutions, one of other settings, a transposed one, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.equal = (nn.Conv1d(4, 4, 3, padding=1) for _ in range(2))
        self.wide = nn.Conv1d(4, 4, 3, padding=2, dilation=2, bias=False)
        self.up = nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1)
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x).transpose(1, 2)
        return self.up(self.wide(self.equal(self.first(x))))


def program_for(target: Target) -> Program:
    program = export(component_of(Layers(), (1, 16, 3)), {"T": FRAMES}, dynamic=False)
    for compiler_pass in (CleanUp(), ChannelsLast()):
        program = compiler_pass(program, target).program
    return program


def layers_of(program: Program) -> list[fx.Node]:
    return [node for node in program.graph.nodes if has_weight(program, node)]


class Loader:
    """Loads programs into a target's runtime, counts their operators, and runs them once."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        self.loaded: list[Program] = []
        self.operators: list[Mapping[str, Mapping[str, int]]] = []

    def __call__(self, program: Program) -> Runner:
        backend = find_backend(self.target.backend)
        backend.check(program, self.target)
        artifact = backend.emit(program, self.target, self.folder)
        self.loaded.append(program)
        self.operators.append(artifact.operators)
        return backend.load(artifact.files[0], 1)


def scheme_of(target: Target) -> Scheme:
    assert target.scheme is not None
    return target.scheme


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_layers_run_in_both_forms_and_equal_ones_once(target: Target, tmp_path: Path) -> None:
    """The second form has integer inputs, outputs and kernels."""
    program, loader = program_for(target), Loader(target, tmp_path)
    clock = LayerClock(loader, target, "here")
    times = [clock.time(program, node) for node in layers_of(program)]
    assert len(times) == 5
    assert len(loader.loaded) == 2 * 4, "two convolutions are equal"
    assert times[1] is times[2]
    assert all(min(time.floats, time.int8) > 0 for time in times)
    for real, whole in zip(loader.loaded[::2], loader.loaded[1::2], strict=True):
        assert [spec.dtype for spec in (*real.inputs, *real.outputs)] == ["float32"] * 2
        assert [spec.dtype for spec in (*whole.inputs, *whole.outputs)] == [scheme_of(target).activations] * 2
        assert real.outputs[0].shape == whole.outputs[0].shape
    for real, whole in zip(loader.operators[::2], loader.operators[1::2], strict=True):
        assert not any("int8" in counts for counts in real.values())
        found = sum(map(Counter, whole.values()), Counter())
        assert set(found) == {"int8"}, whole


def test_integer_layers_are_fused(tmp_path: Path) -> None:
    """ONNX Runtime would compute on floats in between, had the activations another type than its kernels."""
    layer = Layer.of(program := program_for(TARGETS[0]), layers_of(program)[1])
    component = layer.component(scheme_of(TARGETS[0]))
    (file,) = emit(export(component, {"T": 1}, dynamic=False), 20, tmp_path / "y.onnx")
    found = optimized(file, tmp_path)
    assert found["QLinearConv"] == REPEATS
    assert not found["Conv"] + found["FusedConv"]


def test_a_layer_that_fits_itself_is_repeated() -> None:
    program = program_for(TARGETS[0])
    repeats = [Layer.of(program, node).repeats for node in layers_of(program)]
    assert repeats == [1, REPEATS, REPEATS, REPEATS, 1]


def test_a_layer_by_itself_computes_what_it_does_in_its_network() -> None:
    """Once: a convolution, and a linear layer whose weight is not its second argument."""
    program = program_for(TARGETS[0])
    values = {}
    inputs = {"x0": torch.randn(1, 16, 3)}
    program.run(inputs, lambda node, value: values.update({node.name: value}))
    for node in layers_of(program):
        layer = replace(Layer.of(program, node), repeats=1)
        (source,) = (each for each in node.all_input_nodes if program.weight(each) is None)
        component = layer.component(None)
        (spec,) = component.inputs
        (found,) = component.run({spec.name: values[source.name]}).values()
        torch.testing.assert_close(found, values[node.name])


class Busy(Runner):
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {}


def test_the_time_is_that_of_one_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"floats": Latency((8.0, 8.0)), "int8": Latency((2.0, 4.0))}
    monkeypatch.setattr(layers, "interleave", lambda *_: taken)
    program = program_for(TARGETS[0])
    clock = LayerClock(lambda _: Busy(), TARGETS[1], "here")
    linear, first, *_ = layers_of(program)
    assert clock.time(program, first) == LayerTime(8 / REPEATS, 3 / REPEATS)
    assert clock.time(program, linear) == LayerTime(8, 3)
    assert clock.time(program, linear).saved == 5


@pytest.mark.parametrize("name", ["jetson-orin-nano-jp6", "apple-gpu"])
def test_where_floats_are_float16_layers_are_timed_against_those(name: str) -> None:
    """Both forms take and give floats, and the plan says what the layer is in; zero lies in the middle. What a layer
    gives is rounded where kernels give integers."""
    target = load_targets()[name]
    program, clock = program_for(target), LayerClock(lambda _: Busy(), target, "here")
    linear = next(node for node in layers_of(program) if "addmm" in node.name)
    layer = Layer.of(program, linear)
    for form, precision in (("floats", "fp16"), ("int8", "int8")):
        alone, inputs = clock.program(layer, form)
        assert {str(array.dtype) for array in inputs.values()} == {"float32"}
        assert alone.outputs[0].dtype == "float32"
        (node,) = (node for node in alone.graph.nodes if node.target is layer.target)
        assert alone.plan.precision(node.name) == precision
        assert alone.plan.default == "fp16"
        rounding = [node for node in alone.graph.nodes if node.target is torch.ops.voxc.quantize.default]
        expected = 0 if form == "floats" else 1 if scheme_of(target).outputs == "floats" else 2
        assert len(rounding) == expected
        assert all(node.args[2] == 0 for node in rounding)


def test_a_kit_of_one_layer_is_legal(tmp_path: Path) -> None:
    """Both forms go through the parser's table."""
    target = load_targets()["jetson-orin-nano-jp5"]
    program, loader = program_for(target), Loader(target, tmp_path)
    clock = LayerClock(loader, target, "here")
    assert min(clock.time(program, layers_of(program)[1]).__dict__.values()) > 0
    assert loader.operators[1]["Conv"] == {"int8": REPEATS}
    assert loader.operators[0]["Conv"] == {"fp16": REPEATS}


class Order(Runner):
    def __init__(self, program: Program) -> None:
        self.program = program

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {}


def test_the_faster_of_two_choices_goes_first(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    subject = subject_of(three(), target)
    choices = [frozenset(subject.layers[:1]), frozenset(subject.layers)]
    clock = LayerClock(Order, target, "here")
    for faster in (0, 1):
        taken = {str(place): Latency((1.0 if place == faster else 2.0,)) for place in (0, 1)}
        monkeypatch.setattr(layers, "interleave", lambda *_, taken=taken: taken)
        assert clock.by_speed(subject, choices)[0] == choices[faster]
    assert LayerClock(no_runtime, target, "here").by_speed(subject, choices[:1]) == choices[:1], "nothing to time"
