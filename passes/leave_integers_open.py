"""Integers become what the runtime may choose.

    before:  y = convolution_1(permute(convolution(x)))     plan: convolution and convolution_1 int8
    after:   the same graph                                 plan: permute int8 too, and implicit

`insert_quantization` then writes nothing: the artifact has the scales beside it, and its runtime computes each node in
int8 or in floats, whatever it times faster. What stands between integers and only moves them about, or goes with the
kernel before it, is therefore left open as well; it would else be a way to floats and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import fx

from voxc.compiler.errors import PassError
from voxc.compiler.plan import Range
from voxc.compiler.program import Program
from voxc.compiler.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.insert_quantization import given_to
from voxc.passes.precision_rules import has_weight
from voxc.passes.quantizable import follows, moves, sources


@dataclass(frozen=True)
class LeaveIntegersOpen(Pass):
    """Makes the plan of a program with int8 nodes implicit."""

    after: ClassVar[tuple[str, ...]] = ("annotate_precision",)

    def requires(self, program: Program, target: Target) -> None:
        if not target.implicit:
            raise PassError(f"target {target.name}: its runtime does not choose where integers pay")

    def run(self, program: Program, target: Target) -> PassResult:
        plan = program.plan
        integers = [node for node in program.graph.nodes if plan.precision(node.name) == "int8"]
        if not integers or plan.implicit:
            return PassResult(program, modified=False)
        nodes = {**plan.nodes, **dict.fromkeys((node.name for node in between(program)), "int8")}
        layers = sum(has_weight(program, node) for node in integers)
        note = (
            f"{layers} layers may compute in int8: the runtime takes what it times faster on the device; where it is "
            f"not the one that runs the file, all is float32, which says nothing of int8"
        )
        changed = plan.model_copy(update={"nodes": nodes, "implicit": True, "notes": (*plan.notes, note)})
        return PassResult(replace(program, plan=changed), modified=True, notes=(note,))


def between(program: Program) -> list[fx.Node]:
    """What passes int8 values on: moves, activations and multiplications behind int8 nodes that the plan is silent
    on."""
    plan = program.plan
    integers = {node for node in program.graph.nodes if plan.precision(node.name) == "int8"}
    found = []
    for node in program.graph.nodes:
        passes_on = node.name not in plan.nodes and (moves(node) or follows(node))
        if passes_on and sources(node) and integers.issuperset(sources(node)):
            integers.add(node)
            found.append(node)
    return found


def moved(program: Program) -> dict[str, str]:
    """The nodes of an implicit plan that only move the values of one other about, and that other."""
    found = {}
    for node in program.graph.nodes:
        if program.plan.precision(node.name) == "int8" and moves(node) and len(given_to(node)) == 1:
            found[node.name] = given_to(node)[0].name
    return found


def pass_on(program: Program, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges, with those of moved values: the same as before they were moved, as the integers are."""
    found = dict(ranges)
    for name, source in moved(program).items():
        if source in found:
            found[name] = found[source]
    return found
