from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import component_of
from voxc.backends import find_backend
from voxc.compiler.cache.entry import UnsuitableEntry
from voxc.compiler.cache.programs import load_program, save_program
from voxc.compiler.calibration.ranges import calibrate
from voxc.compiler.core.component import Component
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import PassRecord, Program, export
from voxc.compiler.core.target import load_targets
from voxc.compiler.core.tensor import TensorSpec
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization

TARGETS = load_targets()
FRAMES = 30

Again = Callable[[Program], Program]


@pytest.fixture
def again(tmp_path: Path) -> Again:
    """Saves and loads a program."""

    def save_and_load(program: Program) -> Program:
        folder = tmp_path / "program"
        folder.mkdir(exist_ok=True)
        save_program(program, folder)
        return load_program(folder)

    return save_and_load


@pytest.fixture(scope="module")
def static(synthesizer: Component) -> Program:
    return export(synthesizer, {"T": FRAMES}, dynamic=False)


@pytest.fixture(scope="module")
def dynamic(synthesizer: Component) -> Program:
    return export(synthesizer, {"T": FRAMES}, dynamic=True)


@pytest.fixture(params=["static", "dynamic"])
def program(request: pytest.FixtureRequest) -> Program:
    program: Program = request.getfixturevalue(request.param)
    return program


def assert_equal(one: Program, other: Program) -> None:
    for name in ("name", "inputs", "outputs", "noise", "frames", "plan", "history"):
        assert getattr(one, name) == getattr(other, name)
    nodes, others = list(one.graph.nodes), list(other.graph.nodes)
    assert [node.name for node in nodes] == [node.name for node in others]
    for node, its in zip(nodes, others, strict=True):
        assert (node.op, node.target) == (its.op, its.target)
        assert (str(node.args), str(node.kwargs)) == (str(its.args), str(its.kwargs))
        assert (type(node.args), type(node.kwargs)) == (type(its.args), type(its.kwargs))
        assert node.meta.get("stack_trace") == its.meta.get("stack_trace")
        assert module_path(node) == module_path(its)
        assert describe(node.meta.get("val")) == describe(its.meta.get("val"))
        weight, its_weight = one.weight(node), other.weight(its)
        assert type(weight) is type(its_weight)
        assert (weight is None and its_weight is None) or torch.equal(weight, its_weight)  # type: ignore[arg-type]
    assert one.exported.range_constraints == other.exported.range_constraints
    assert str(one.exported.graph_signature) == str(other.exported.graph_signature)
    assert str(one.exported.module_call_graph) == str(other.exported.module_call_graph)
    assert one.exported.verifiers == other.exported.verifiers


def describe(value: object) -> object:
    if isinstance(value, list | tuple):
        return type(value), [describe(each) for each in value]
    if isinstance(value, Tensor):
        return type(value), value.dtype, value.device, str(value.shape), str(value.stride()), value.requires_grad
    return type(value), str(value)


def test_nothing_is_lost(program: Program, again: Again) -> None:
    program = replace(
        program,
        plan=PrecisionPlan(nodes={"x": "int8"}, ranges={"x": (-0.1, 1 / 3)}, notes=("a note",)),
        history=(PassRecord("a_pass", True, ("a note",), 0.1),),
    )
    assert_equal(program, again(program))


def test_it_computes_the_same_bits(program: Program, synthesizer: Component, again: Again) -> None:
    loaded = again(program)
    for frames in {FRAMES, 41} if "T" in program.inputs[0].shape else {FRAMES}:
        inputs = {name: torch.from_numpy(array) for name, array in synthesizer.reference_inputs({"T": frames}).items()}
        for name, value in program.run(inputs).items():
            assert torch.equal(loaded.run(inputs)[name], value)


def emitted(program: Program, target_name: str, folder: Path) -> dict[str, bytes]:
    """The files of an artifact for a target, in its own precision."""
    target = TARGETS[target_name]
    backend = find_backend(target.backend)
    for compiler_pass in (*pipeline(target), AnnotatePrecision(target.default_precision)):
        program = compiler_pass(program, target).program
    if "int8" in program.plan.nodes.values():
        torch.manual_seed(0)
        sample = {spec.name: example(spec).numpy() for spec in program.inputs}
        ranges = calibrate(program, [sample], "minmax")
        program = replace(program, plan=program.plan.model_copy(update={"ranges": ranges}))
    program = InsertQuantization()(program, target).program
    folder.mkdir(parents=True)
    backend.emit(program, target, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def example(spec: TensorSpec) -> Tensor:
    sizes = [int(size) for size in spec.shape]
    return torch.zeros(sizes, dtype=torch.int64) if spec.dtype == "int64" else torch.rand(sizes)


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "tflite-int8", "apple-mlx-int8"])
def test_artifacts_are_the_same(static: Program, again: Again, tmp_path: Path, target: str) -> None:
    backend = find_backend(TARGETS[target].backend)
    if any(need.version is None for need in backend.emit_needs):
        pytest.skip(f"{backend.name} is not installed")
    expected = emitted(static, target, tmp_path / "one")
    assert expected == emitted(again(static), target, tmp_path / "other")


def test_a_dynamic_artifact_is_the_same(dynamic: Program, again: Again, tmp_path: Path) -> None:
    expected = emitted(dynamic, "onnxruntime-cpu", tmp_path / "one")
    assert expected == emitted(again(dynamic), "onnxruntime-cpu", tmp_path / "other")


def test_a_program_after_its_passes(static: Program, again: Again) -> None:
    """With added inputs, folded weights and a shorter state."""
    target = TARGETS["onnxruntime-cpu"]
    program = static
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program
    loaded = again(program)
    assert_equal(program, loaded)
    assert str(pipeline(target)[0](loaded, target).program.graph) == str(program.graph)


class Tied(nn.Module):
    """A weight with two names, a view of it, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.arange(12.0).reshape(3, 4))
        self.two = self.one
        self.register_buffer("column", self.one.detach()[:, 1])
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("passing", torch.ones(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        constant = torch.tensor([1.0, float("inf"), -2.0])
        return (x @ self.one.T + x @ self.two.T).clamp(max=float("inf")) + self.column + constant + self.passing.sum()


def test_shared_weights_stay_shared(again: Again) -> None:
    program = export(component_of(Tied().eval(), (2, 4)), {}, dynamic=False)
    loaded = again(program)
    assert_equal(program, loaded)
    for weights in (program.exported.state_dict, loaded.exported.state_dict):
        assert weights["one"].untyped_storage().data_ptr() == weights["column"].untyped_storage().data_ptr()
        assert weights["column"].stride() == (4,)
    assert len(loaded.exported.constants) == len(program.exported.constants) > 0


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


def test_what_cannot_be_described_is_refused(tmp_path: Path) -> None:
    program = export(component_of(Branch(), (2, 4)), {}, dynamic=False)
    with pytest.raises(UnsuitableEntry, match="get_attr"):
        save_program(program, tmp_path)
