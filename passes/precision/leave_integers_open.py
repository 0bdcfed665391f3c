"""Integers become what the runtime may choose.

    before:  y = convolution_1(permute(convolution(x)))     plan: convolution and convolution_1 int8
    after:   the same graph                                 plan: permute int8 too, and implicit

`insert_quantization` then writes nothing: the artifact has the scales beside it, and its runtime computes each node in
int8 or in floats, whatever it times faster. Layers for which the target's runtime has no such choice become floats.
What stands between integers and only moves them about, or may be fused with the kernel before it, is left open as well:
else it would be a way to floats and back, or keep the kernel from integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import fx

from voxc.compiler.core.errors import PassError
from voxc.compiler.core.plan import Range
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.precision.node_names import listed
from voxc.passes.precision.quantizable import aten, follows, moves, origins, sources, voxc
from voxc.passes.precision.rules import complete, has_weight

CONVOLUTIONS = frozenset({aten.convolution.default, voxc.conv_channels_last.default})


@dataclass(frozen=True)
class LeaveIntegersOpen(Pass):
    """Makes the plan of a program with int8 nodes implicit."""

    after: ClassVar[tuple[str, ...]] = ("annotate_precision",)

    def requires(self, program: Program, target: Target) -> None:
        if target.implicit is None:
            raise PassError(f"target {target.name}: its runtime does not choose where integers pay")

    def run(self, program: Program, target: Target) -> PassResult:
        plan = program.plan
        if plan.implicit or "int8" not in plan.nodes.values():
            return PassResult(program, modified=False)
        planned, products = of_convolutions(program)
        left = sum(planned.plan.precision(node.name) == "int8" for node in layers(planned))
        nodes = {**planned.plan.nodes, **dict.fromkeys((node.name for node in between(planned)), "int8")}
        notes = notes_on(left, products, plan.default)
        changed = plan.model_copy(update={"nodes": nodes, "implicit": left > 0, "notes": (*plan.notes, *notes)})
        return PassResult(replace(program, plan=changed), modified=True, notes=notes)

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        if after.exported is not before.exported:
            raise PassError(f"{self.name}: {after.name}: the graph has changed, and only the plan may")
        for node in layers(after):
            if after.plan.implicit and after.plan.precision(node.name) == "int8" and node.target not in CONVOLUTIONS:
                raise PassError(f"{self.name}: {after.name}: {node.name} is int8, and the runtime has no such choice")


def notes_on(left: int, products: list[str], default: str) -> tuple[str, ...]:
    """What people should know of layers that are left open, and of products that are not."""
    number = "1 layer" if left == 1 else f"{left} layers"
    choice = f"{number} may compute in int8: the device takes what it times faster; elsewhere all is float32, which "
    choice += "says nothing of int8"
    floats = f"{default} in place of int8: the runtime has that choice for convolutions alone ({listed(products)})"
    return (*([choice] if left else []), *([floats] if products else []))


def layers(program: Program) -> list[fx.Node]:
    return [node for node in program.graph.nodes if has_weight(program, node)]


def of_convolutions(program: Program) -> tuple[Program, list[str]]:
    """The program with int8 for convolutions alone, and what follows from them; and the products that had it."""
    plan = program.plan
    integers = {name for name, precision in plan.nodes.items() if precision == "int8"}
    products = [node.name for node in layers(program) if node.name in integers and node.target not in CONVOLUTIONS]
    kept = complete(program, integers.difference(products))
    floats = {name: precision for name, precision in plan.nodes.items() if precision != "int8"}
    return replace(program, plan=plan.model_copy(update={"nodes": floats | kept})), products


def between(program: Program) -> list[fx.Node]:
    """What passes int8 values on: moves, activations and multiplications behind int8 nodes that the plan is silent
    on."""
    plan = program.plan
    integers = {node for node in program.graph.nodes if plan.precision(node.name) == "int8"}
    passing = []
    for node in program.graph.nodes:
        passes_on = node.name not in plan.nodes and (moves(node) or follows(node))
        if passes_on and sources(node) and integers.issuperset(sources(node)):
            integers.add(node)
            passing.append(node)
    return passing


def moved(program: Program) -> dict[str, str]:
    """The nodes of an implicit plan that only move the values of one other about, and that other."""
    pairs = {}
    for node in program.graph.nodes:
        if program.plan.precision(node.name) == "int8" and moves(node) and len(origins(node)) == 1:
            pairs[node.name] = origins(node)[0].name
    return pairs


def pass_on(program: Program, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges, with those of moved values: the same as before they were moved, as the integers are."""
    extended = dict(ranges)
    for name, source in moved(program).items():
        if source in extended:
            extended[name] = extended[source]
    return extended
