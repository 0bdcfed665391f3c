"""The precision plan says for each node what it computes in.

    before:  plan.nodes = {}
    after:   plan.nodes = {convolution_7: int8, leaky_relu_3: int8, addmm: fp16, ...}

The graph stays as it is: `insert_quantization` makes the plan part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import fx

from voxc.compiler.core.errors import PassError, RecipeError
from voxc.compiler.core.nodes import call_arguments
from voxc.compiler.core.plan import Policy, Precision, PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.precision.node_names import describe, listed, matching, without_match
from voxc.passes.precision.quantizable import Operands, follows, has_kernel, is_pointwise, operands
from voxc.passes.precision.rules import attention, choices, complete, has_weight, islands, protected

#: What a search decides starts as.
STARTS: Mapping[Policy, Precision] = {"auto": "fp32", "mixed": "int8"}
#: The least number of inputs that share a scale where weights are scaled in groups of inputs.
LEAST_GROUP = 32


@dataclass(frozen=True)
class AnnotatePrecision(Pass):
    """Fills the plan by a policy and by `overrides` of it, (pattern, precision), of which the later win; or takes a
    `plan` as it is.

    A pattern (as of the shell) is of the names of nodes or of the modules they come from, with all inside these. What
    it matches that has to stay float32 does so, and is told in a note. Where the policy is `auto`, all is in the
    overrides.
    """

    after: ClassVar[tuple[str, ...]] = ("clean_up", "fold_time_into_rows", "fold_flips", "channels_last")

    policy: Policy = "fp32"
    overrides: tuple[tuple[str, Precision], ...] = ()
    plan: PrecisionPlan | None = None

    def requires(self, program: Program, target: Target) -> None:
        for precision in (self.policy, *(precision for _, precision in self.overrides)):
            if precision not in (*target.precisions, *target.emulated.values(), "fp32"):
                reason = target.absent.get(precision, f"it has {', '.join(target.precisions)}")
                raise RecipeError(f"target {target.name} has no precision {precision!r}: {reason}")

    def run(self, program: Program, target: Target) -> PassResult:
        plan = self.plan or self.make(program, target)
        before = program.plan
        changed = (plan.default, plan.nodes) != (before.default, before.nodes)
        return PassResult(replace(program, plan=plan), changed, plan.notes)

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        if after.exported is not before.exported:
            raise PassError(f"{self.name}: {after.name}: the graph has changed, and only the plan may")
        unknown = after.plan.nodes.keys() - {node.name for node in after.graph.nodes}
        if unknown:
            raise PassError(f"{self.name}: {after.name} has no nodes {listed(sorted(unknown))}, and the plan does")

    def make(self, program: Program, target: Target) -> PrecisionPlan:
        layers = Layers(program, target, self.policy)
        layers.follow(self.policy)
        for pattern, precision in self.overrides:
            layers.override(pattern, precision)
        nodes = layers.nodes()
        return program.plan.model_copy(update={"default": layers.rest, "nodes": nodes, "notes": tuple(layers.notes)})


class Layers:
    """What has been decided so far about the layers and sums of a program.

    `rest` is what all others compute in. Where that is float16, the `islands` around phases stay float32, and any call
    may be asked to.
    """

    def __init__(self, program: Program, target: Target, policy: Policy) -> None:
        self.program = program
        self.target = target
        self.halves = target.arithmetic == "float16"
        self.rest: Precision = "fp16" if self.halves and policy != "fp32" else "fp32"
        self.protected = protected(program)
        self.islands = islands(program) if self.halves else {}
        self.floats: dict[str, Precision] = dict.fromkeys(self.islands, "fp32")
        calls = [node for node in program.graph.nodes if node.op == "call_function"]
        self.calls = {node.name: node for node in calls}
        self.layers = [node.name for node in calls if has_weight(program, node)]
        self.free = choices(program)
        self.decided: dict[str, Precision] = {}
        self.named: dict[str, None] = {}
        self.notes: list[str] = []

    def follow(self, policy: Policy) -> None:
        precision: Precision = STARTS.get(policy, policy)  # type: ignore[arg-type]
        if self.halves and policy == "fp16":
            return  # all that is not an island
        self.decide(self.free, precision)
        if policy != "fp32":
            self.note_kept([name for name in self.layers if name in self.protected])
        if policy == "mixed":
            half: Precision = "fp16" if "fp16" in self.target.precisions else "fp32"
            inside = attention(self.program)
            names = [name for name in self.free if name in inside]
            self.decide(names, half)
            if names and half == "fp32":
                reason = self.target.absent.get("fp16", "the target has no fp16")
                self.notes.append(f"attention stays fp32: {reason}")

    def override(self, pattern: str, precision: Precision) -> None:
        matched = self.match(pattern)
        if self.halves and precision in ("fp32", "fp16"):
            self.override_floats(pattern, precision, matched)
            return
        free = [name for name in matched if name in self.free]
        if precision != "fp32":
            barred = [name for name in matched if name in self.protected]
            if not free:
                name = next(iter(barred or matched))
                reason = self.protected.get(name) or why_not(self.calls[name])
                raise RecipeError(f"{pattern}={precision}: {describe(self.calls[name])} {reason}")
            self.note_kept([name for name in barred if name in self.layers])
        self.decide(free, precision)
        if pattern in self.calls:
            self.named[pattern] = None

    def override_floats(self, pattern: str, precision: Precision, matched: Collection[str]) -> None:
        """The arithmetic of whatever a pattern matches; phases stay what they are."""
        free = [name for name in matched if precision == "fp32" or name not in self.islands]
        if not free:
            name = next(iter(matched))
            raise RecipeError(f"{pattern}={precision}: {describe(self.calls[name])} {self.islands[name]}")
        self.floats.update(dict.fromkeys(free, precision))
        for name in free:
            self.decided.pop(name, None)

    def match(self, pattern: str) -> list[str]:
        """The nodes that a pattern is for.

        Raises:
            RecipeError: there are none.
        """
        names = matching(self.program, pattern)
        if not names:
            raise without_match(pattern, [self.program])
        return names

    def decide(self, names: Collection[str], precision: Precision) -> None:
        self.decided.update(dict.fromkeys(names, precision))
        layers = [name for name in names if name in self.layers]
        if precision == "int8":
            batched = [name for name in layers if not has_kernel(self.calls[name])]
            stored: Precision = "w8" if "w8" in self.target.precisions else self.rest
            self.settle(batched, stored, f"{stored} in place of int8: products of batches have no integer kernels")
        if precision == "int4":
            wide = [name for name in layers if not is_pointwise(self.weight(name), self.calls[name])]
            self.settle(wide, "w8", "w8 in place of int4: convolutions over time keep 8 bits")
        if precision in ("w8", "int4") and self.target.weights == "grouped":
            odd = [name for name in layers if self.inputs(name) % LEAST_GROUP]
            self.settle(odd, self.rest, f"{self.rest} in place of {precision}: inputs are not groups of {LEAST_GROUP}")

    def settle(self, names: list[str], precision: Precision, note: str) -> None:
        if names:
            self.decided.update(dict.fromkeys(names, precision))
            self.notes.append(f"{note} ({listed(names)})")

    def weight(self, name: str) -> fx.Node:
        """The constant weight of a layer."""
        weight: fx.Node = call_arguments(self.calls[name])[self.operands(name).weight]
        return weight

    def operands(self, name: str) -> Operands:
        places = operands(self.program, self.calls[name])
        assert places is not None, f"{name} is no layer"
        return places

    def inputs(self, name: str) -> int:
        """How many inputs each output of a layer is made of."""
        weight = self.weight(name).meta["val"]
        return int(weight.numel() // weight.shape[self.operands(name).axis])

    def note_kept(self, names: list[str]) -> None:
        for name in names:
            kept = "fp32" if name in self.islands else self.rest
            note = f"{describe(self.calls[name])} stays {kept}: it {self.protected[name]}"
            if note not in self.notes:
                self.notes.append(note)

    def nodes(self) -> dict[str, Precision]:
        """The precision of each node that has another than the rest."""
        chosen = {name for name, precision in self.decided.items() if precision == "int8"}
        integers = self.integers(chosen)
        others = {
            name: precision
            for name, precision in self.decided.items()
            if name in self.layers and precision not in ("int8", self.rest)
        }
        floats = {name: precision for name, precision in self.floats.items() if precision != self.rest}
        self.notes += [
            f"{describe(self.calls[name])} stays {self.rest}: it is not between integers"
            for name in self.named
            if self.decided.get(name) == "int8" and name not in integers
        ]
        self.notes += [
            f"{precision} is emulated: it makes the bundle smaller; the target computes in {self.rest}, as without it"
            for precision in sorted(set(others.values()).intersection(self.target.emulated.values()))
        ]
        if integers and self.target.scheme is None:
            raise PassError(f"target {self.target.name} has no integer kernels; choose another precision than int8")
        precisions = floats | integers | others
        return {name: precisions[name] for name in self.calls if name in precisions}

    def integers(self, chosen: Collection[str]) -> dict[str, Precision]:
        """What computes on integers where the `chosen` do: of a target whose layers give floats, layers alone."""
        if self.target.scheme is not None and self.target.scheme.outputs == "floats":
            return {name: "int8" for name in self.layers if name in chosen}
        return complete(self.program, chosen)


def why_not(node: fx.Node) -> str:
    if follows(node):
        return "has no precision of its own: it computes on integers where both of its neighbours do"
    return "is no convolution, matrix product with constant weights, or sum: there is nothing to quantize"
