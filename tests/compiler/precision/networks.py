"""A small network whose precision is there to be decided."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import FRAMES, component_of
from voxc.compiler.calibration.ranges import calibrate
from voxc.compiler.core.component import Component
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Target
from voxc.compiler.precision.subject import Subject
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization
from voxc.passes.precision.rules import candidates, has_weight

LENGTH = 40


class Three(nn.Module):
    """Three convolutions with activations and a sum. `second` has large weights for an input channel that is
    always zero, which leaves the others few of the steps of int8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Conv1d(4, 4, 3, padding=1) for _ in range(2))
        self.third = nn.Conv1d(4, 2, 3, padding=1)
        with torch.no_grad():
            self.second.weight[:, 0] *= 40
            self.first.weight[0], self.first.bias[0] = 0, 0

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.first(x), 0.1)
        return self.third(F.leaky_relu(self.second(y) + y, 0.1))


def three() -> Component:
    return component_of(Three(), (1, 4, LENGTH))


def no_runtime(program: Program) -> Runner:
    raise AssertionError(f"{program.name} should not be loaded")


def subject_of(component: Component, target: Target, rest: Precision = "fp32") -> Subject:
    """All of a component free to be integers; ranges come from what it is tried on."""
    program = export(component, {"T": FRAMES}, dynamic=False)
    annotated = AnnotatePrecision("int8")(program, target).program
    calls = [component.reference_inputs({"T": FRAMES}, seed) for seed in (1, 2)]
    plan = annotated.plan.model_copy(update={"ranges": calibrate(annotated, calls, "minmax")})
    whole = replace(annotated, plan=plan)
    names = candidates(whole)
    layers = tuple(name for name in names if has_weight(whole, node_of(whole, name)))

    def precisions(chosen: Collection[str]) -> dict[str, Precision]:
        asked: tuple[tuple[str, Precision], ...] = tuple((name, "int8") for name in sorted(chosen))
        return dict(AnnotatePrecision(rest, asked)(program, target).program.plan.nodes)

    return Subject(
        whole,
        layers,
        tuple(name for name in names if name not in layers),
        precisions,
        lambda planned: InsertQuantization()(planned, target).program,
        tuple({name: torch.from_numpy(array) for name, array in call.items()} for call in calls),
        None,
    )


def node_of(program: Program, name: str) -> torch.fx.Node:
    return next(node for node in program.graph.nodes if node.name == name)


def layers_by_module(program: Program) -> dict[str, str]:
    """The names of the nodes with weights, by their modules."""
    return {module_path(node): node.name for node in program.graph.nodes if has_weight(program, node)}
