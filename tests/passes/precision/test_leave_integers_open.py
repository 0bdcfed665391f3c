from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from tests.passes.harness import FRAMES, check_pass, component_of, tensors_for
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Scheme, Target, load_targets
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization
from voxc.passes.precision.leave_integers_open import LeaveIntegersOpen, moved, pass_on
from voxc.passes.precision.quantizable import moves
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
#: As `Decider.rounding` has it.
ORIN = load_targets()["jetson-orin-nano-jp5"].model_copy(update={"scheme": Scheme(activations="int8", symmetric=True)})


class Chain(nn.Module):
    """Convolutions with all that may stand between them: moves of one tensor and of two, activations, a GELU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = (nn.Conv1d(4, 4, 1) for _ in range(3))

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        y = self.first(x.transpose(1, 2)).transpose(1, 2).transpose(1, 2)
        left, right = torch.split(F.leaky_relu(self.second(y), 0.1), [2, 2], 1)
        z = F.gelu(self.third(torch.cat([right, left], 1)))
        return torch.sin(F.leaky_relu(phase, 0.1)) + F.leaky_relu(self.second(z))


CHAIN = component_of(Chain(), (1, 8, 4), (1, 4, 8))


def planned(policy: str = "int8", *overrides: tuple[str, str]) -> Program:
    program = export(CHAIN, {"T": FRAMES}, dynamic=False)
    return AnnotatePrecision(policy, overrides)(program, ORIN).program  # type: ignore[arg-type]


def nodes_of(program: Program, *targets: object) -> list[fx.Node]:
    return [node for node in program.graph.nodes if node.target in targets]


def test_what_stands_between_integers_is_open() -> None:
    result = check_pass(LeaveIntegersOpen(), CHAIN, ORIN, fires=True, first=(AnnotatePrecision("int8"),))
    program = result.program
    assert program.plan.implicit
    assert "layers may compute in int8" in result.notes[0]
    moves = nodes_of(program, aten.permute.default, aten.transpose.int)
    assert [program.plan.precision(node.name) for node in moves] == ["fp16", "int8", "int8"], "x has no integers"
    for node in nodes_of(program, aten.split_with_sizes.default, aten.cat.default):
        assert program.plan.precision(node.name) == "int8"


def test_what_is_not_between_integers_stays_as_it_was() -> None:
    """A GELU has kernels of its own, and the activation before a sine is a part of the phase."""
    program = LeaveIntegersOpen()(planned(), ORIN).program
    (gelu,) = nodes_of(program, aten.gelu.default)
    assert program.plan.precision(gelu.name) == "fp16"
    first, phase, last = nodes_of(program, aten.leaky_relu.default)
    assert [program.plan.precision(node.name) for node in (first, phase, last)] == ["int8", "fp32", "int8"]


def test_without_integers_there_is_nothing_to_leave_open() -> None:
    check_pass(LeaveIntegersOpen(), CHAIN, ORIN, fires=False, first=(AnnotatePrecision("fp16"),))


def test_nothing_is_written_into_the_graph() -> None:
    program = LeaveIntegersOpen()(planned(), ORIN).program
    result = InsertQuantization()(program, ORIN)
    assert not result.modified
    assert not any("quantize" in str(node.target) for node in result.program.graph.nodes)


def test_a_runtime_that_does_not_choose(target: Target) -> None:
    with pytest.raises(PassError, match="does not choose where integers pay"):
        LeaveIntegersOpen()(planned(), target.model_copy(update={"implicit": None}))


def test_what_is_moved_keeps_its_range() -> None:
    """Also through several moves and for the parts of a split; what is put together from two has one of its own."""
    program = LeaveIntegersOpen()(planned(), ORIN).program
    names = [node.name for node in program.graph.nodes if node.op == "call_function"]
    known = {name: (-1.0, float(place)) for place, name in enumerate(names) if name not in moved(program)}
    ranges = pass_on(program, known)
    first, second, *_ = nodes_of(program, aten.convolution.default)
    for node in nodes_of(program, aten.permute.default, aten.transpose.int)[1:]:
        assert ranges[node.name] == known[first.name]
    (activation, *_) = nodes_of(program, aten.leaky_relu.default)
    (split,) = nodes_of(program, aten.split_with_sizes.default)
    assert {ranges[part.name] for part in split.users} == {known[activation.name]}
    assert not set(moved(program)) & {second.name, activation.name}
    (joined,) = nodes_of(program, aten.cat.default)
    assert joined.name not in moved(program)
    assert not moved(replace(program, plan=planned("fp16").plan))


class Product(nn.Module):
    """A product with constant weights between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear, self.last = nn.Conv1d(4, 4, 3, padding=1), nn.Linear(8, 8), nn.Conv1d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.linear(F.relu(self.conv(x)))))


def test_products_are_not_the_runtimes_to_choose() -> None:
    """The activation behind one is as it is; that behind a convolution may go with its kernel."""
    first = (CleanUp(), AnnotatePrecision("int8"))
    result = check_pass(LeaveIntegersOpen(), component_of(Product(), (1, 4, 8)), ORIN, fires=True, first=first)
    plan = result.program.plan
    (product,) = nodes_of(result.program, aten.addmm.default)
    assert plan.precision(product.name) == "fp16"
    assert f"fp16 in place of int8: the runtime has that choice for convolutions alone ({product.name})" in result.notes
    convolutions = nodes_of(result.program, aten.convolution.default)
    assert {plan.precision(node.name) for node in convolutions} == {"int8"}
    behind, last = nodes_of(result.program, aten.relu.default)
    assert (plan.precision(behind.name), plan.precision(last.name)) == ("int8", "fp16")


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_products_alone_leave_nothing_open() -> None:
    first = (CleanUp(), AnnotatePrecision("int8"))
    linear = component_of(Plain(), (4, 8))
    plan = check_pass(LeaveIntegersOpen(), linear, ORIN, fires=True, first=first).program.plan
    assert not plan.implicit
    assert "int8" not in plan.nodes.values()


def written_out(program: Program) -> Program:
    """An implicit program as if the runtime took int8 wherever it may: with a plan that can be inserted."""
    graph = {node.name: node for node in program.graph.nodes}
    nodes = {
        name: precision
        for name, precision in program.plan.nodes.items()
        if precision != "int8" or not moves(graph[name])
    }
    return replace(program, plan=program.plan.model_copy(update={"nodes": nodes, "implicit": False}))


def test_what_may_be_int8_can_be_written_out() -> None:
    """Ranges that reach far beyond all values: then integers are coarse, and nothing else."""
    program = LeaveIntegersOpen()(planned(), ORIN).program
    ranges = dict.fromkeys((node.name for node in program.graph.nodes), (-8.0, 8.0))
    ranged = replace(program, plan=program.plan.model_copy(update={"ranges": ranges}))
    result = InsertQuantization()(written_out(ranged), ORIN)
    assert result.modified
    tensors = tensors_for(CHAIN)
    actual, expected = result.program.run(tensors)["y"], CHAIN.run(tensors)["y"]
    assert 0.001 < (actual - expected).abs().max() < 0.3


class Residual(nn.Module):
    """What a convolution gives is added to what another gives, and convolved; then something else is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = (nn.Conv1d(4, 4, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.third(y + self.second(F.leaky_relu(y, 0.1))) + torch.sigmoid(y)


def test_sums_that_kernels_may_add_are_open() -> None:
    """Fused with the convolution before it, a sum without scales would keep that from integers."""
    residual = component_of(Residual(), (1, 4, 8))
    first = (AnnotatePrecision("int8"),)
    program = check_pass(LeaveIntegersOpen(), residual, ORIN, fires=True, first=first).program
    inner, outer = nodes_of(program, aten.add.Tensor)
    assert (program.plan.precision(inner.name), program.plan.precision(outer.name)) == ("int8", "fp16")
    kept = (AnnotatePrecision("int8", (("second", "fp16"),)),)
    program = check_pass(LeaveIntegersOpen(), residual, ORIN, fires=True, first=kept).program
    assert program.plan.precision(inner.name) == "fp16", "what it adds comes in floats"


def test_an_int8_product_is_not_left_open() -> None:
    component = component_of(Plain(), (4, 8))
    program = CleanUp()(export(component, FRAMES, dynamic=False), ORIN).program
    program = AnnotatePrecision("int8")(program, ORIN).program
    wrong = replace(program, plan=program.plan.model_copy(update={"implicit": True}))
    with pytest.raises(PassError, match="is int8, and the runtime has no such choice"):
        LeaveIntegersOpen()(wrong, ORIN)
