"""What a component computes in for a target: by its recipe, by a plan that is given, or by measuring."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.calibration.ranges import calibrate, integer_tensors
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.plan import Policy, Precision, PrecisionPlan, Range
from voxc.compiler.core.program import Program
from voxc.compiler.core.recipe import DEFAULT_MIN_SNR_DB, Override, PrecisionRecipe, refusal
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import Array
from voxc.compiler.precision.clocks import Clock, estimating, floats_of
from voxc.compiler.precision.layers import LayerClock
from voxc.compiler.precision.plans import read_plans
from voxc.compiler.precision.record import SearchRecord, write_search
from voxc.compiler.precision.search import search
from voxc.compiler.precision.sensitivity import time_layers
from voxc.compiler.precision.subject import Subject
from voxc.passes.base import Pass, PassResult
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization
from voxc.passes.precision.leave_integers_open import LeaveIntegersOpen, moved, pass_on
from voxc.passes.precision.node_names import matching, without_match
from voxc.passes.precision.rules import candidates, choices, has_weight

Report = Callable[[str], None]
#: Runs a pass; may check its result by running the graph.
RunPass = Callable[[Pass, Program, Target], PassResult]
Samples = Sequence[Mapping[str, Array]]

# What a search tries choices on: of one segment to the next, the noise of integers differs by 10 dB. Samples that are
# calibrated on, and inputs that look like speech of seeds that neither calibration nor the reported fidelity has.
TRIED_SAMPLES = 4
FURTHER_SEEDS = (101, 102, 103)
NOT_KEPT = Keeper()


@dataclass(frozen=True)
class Decision:
    """The program with its plan, not quantized yet, and what a search found on the way to it."""

    program: Program
    search: SearchRecord | None = None

    @property
    def figures(self) -> dict[str, Figure]:
        """What the search expects, for the manifest."""
        return {} if self.search is None else self.search.figures()

    def write(self, directory: Path) -> list[Path]:
        """The files about the search, if there was one."""
        return [] if self.search is None else write_search(directory, self.search)


@dataclass(frozen=True)
class Decider:
    """Decides for the components of one voice and target.

    `samples` gives a component's calibration inputs and is asked only where ranges are needed. `load` brings a program
    into the target's runtime, `timed` says which that is and on what machine; None if it is not here. `timings` keeps
    the times of layers.
    """

    target: Target
    recipe: PrecisionRecipe
    samples: Callable[[Component], Samples]
    load: Callable[[Program], Runner]
    timed: str | None
    report: Report
    run_pass: RunPass = Pass.__call__
    timings: Keeper = NOT_KEPT

    @property
    def rounding(self) -> Target:
        """The target as integers are tried on it. Where its runtime is to choose them, its kernels give them too: it
        chooses them for what has scales on both sides."""
        scheme = self.target.scheme
        if not self.recipe.implicit or scheme is None:
            return self.target
        return self.target.model_copy(update={"scheme": scheme.model_copy(update={"outputs": "integers"})})

    @property
    def policy(self) -> Policy:
        """What was asked for; of a plan that is given, what led to it."""
        if self.recipe.plan is not None:
            return read_plans(self.recipe.plan).policy
        return self.recipe.policy_for(self.target)

    def check(self, programs: Sequence[Program]) -> None:
        """Looks at the exceptions before any work; `programs` are those of all components of the voice.

        Raises:
            RecipeError: an exception has nothing to change in any of them.
        """
        overrides = () if self.recipe.plan is not None else self.recipe.overrides
        for override in overrides:
            there = [program for program in programs if matching(program, override.pattern)]
            if not there:
                raise without_match(override.pattern, programs)
            if not any(self.changes(program, override) for program in there):
                AnnotatePrecision("fp32", ((override.pattern, override.precision),))(there[0], self.target)

    def decide(self, component: Component, program: Program, keeper: Keeper = NOT_KEPT) -> Decision:
        """A plan for the program that the target's passes have left. `keeper` keeps ranges, and plans that were found
        by a search; its key tells the program and the samples.

        Raises:
            RecipeError: the recipe asks for what the graph or the target cannot do.
        """
        if self.recipe.plan is not None:
            plan = read_plans(self.recipe.plan).plan_for(program, self.recipe.plan)
            lacking = sorted(set(plan.nodes.values()) - self.recipe.allowed(self.target))
            if lacking:
                raise RecipeError(f"{self.recipe.plan}: {refusal(self.target, lacking[0])}")
            if plan.implicit and self.target.implicit is None:
                raise RecipeError(f"{self.recipe.plan}: leaves int8 to a runtime, and that of {self.target.name} does "
                                  f"not choose")  # fmt: skip
            return Decision(self.run_pass(AnnotatePrecision(plan=plan), program, self.target).program)
        if self.policy != "auto":
            return Decision(self.with_ranges(component, self.left_open(self.annotate(program, self.policy)), keeper))
        whole = self.with_ranges(component, self.annotate(program, "int8"), keeper)
        fixed = self.precisions(whole, ())
        free = tuple(
            name for name in candidates(whole) if whole.plan.precision(name) == "int8" and fixed.get(name) != "int8"
        )
        chosen, record = self.searched(component, whole, free, keeper) if free else (frozenset[str](), None)
        found = self.precisions(whole, chosen)
        integers = [name for name in chosen if found.get(name) == "int8"]  # a sum may be without integers around it
        decided = self.left_open(self.choose(replace(program, plan=whole.plan), integers))
        return Decision(self.with_ranges(component, decided, keeper), record)

    def searched(
        self, component: Component, whole: Program, free: tuple[str, ...], keeper: Keeper
    ) -> tuple[frozenset[str], SearchRecord]:
        """What a search finds, or has found before: times are what it depends on, and they differ from run to run."""
        asked = self.recipe.model_dump(mode="json", exclude={"calibration", "plan"})
        own = keeper.on("search", asked, free, self.timed, self.timings.key)
        return own.json("plans", tuple[frozenset[str], SearchRecord], lambda: self.search(component, whole, free))

    def search(
        self, component: Component, whole: Program, free: tuple[str, ...]
    ) -> tuple[frozenset[str], SearchRecord]:
        """Measures every layer that is free to be an integer, and finds the fastest choice that keeps the bound."""

        def tick(detail: str) -> None:
            self.report(f"{self.target.name}: {component.name}: searching, {detail}")

        nodes = {node.name: node for node in whole.graph.nodes}
        layers = tuple(name for name in free if has_weight(whole, nodes[name]))
        sums = tuple(name for name in free if name not in layers)
        tick(f"{len(layers)} layers")
        further = [component.reference_inputs(whole.sizes, seed) for seed in FURTHER_SEEDS]
        inputs = tuple(tensors_of(call) for call in (*spread(self.samples(component)), *further))
        subject = Subject(
            whole, layers, sums, lambda chosen: self.precisions(whole, chosen), self.try_out, inputs,
            component.audio_rate,
        )  # fmt: skip
        clock = self.clock
        min_snr = self.recipe.min_snr or DEFAULT_MIN_SNR_DB
        found = search(subject, time_layers(subject, clock, tick), min_snr, clock, tick)
        record = SearchRecord.of(component.name, clock, self.target.arithmetic, min_snr, found)
        return found.trials[-1].chosen, record

    @property
    def clock(self) -> Clock:
        """What tells a search how long layers take."""
        return (
            estimating(self.rounding)
            if self.timed is None
            else LayerClock(self.load, self.rounding, self.timed, self.timings)
        )

    def precisions(self, program: Program, chosen: Collection[str]) -> Mapping[str, Precision]:
        """What every node computes in with these candidates as integers."""
        return self.choose(program, chosen).plan.nodes

    def choose(self, program: Program, chosen: Collection[str]) -> Program:
        """The program with these candidates as integers; the others only store their weights smaller, where the target
        does that without a loss."""
        rest: Policy = "fp16" if floats_of(self.target) == "fp16" else "auto"
        asked: tuple[tuple[str, Precision], ...] = tuple((name, "int8") for name in sorted(chosen))
        return self.annotate(program, rest, asked)

    def annotate(self, program: Program, policy: Policy, chosen: tuple[tuple[str, Precision], ...] = ()) -> Program:
        """The program with a plan by policy; of the exceptions, which are for all components, it gets its own."""
        overrides = tuple(
            (override.pattern, override.precision)
            for override in self.recipe.overrides
            if self.changes(program, override)
        )
        plain = replace(program, plan=PrecisionPlan(ranges=program.plan.ranges))
        return self.run_pass(AnnotatePrecision(policy, (*chosen, *overrides)), plain, self.rounding).program

    def changes(self, program: Program, override: Override) -> bool:
        """Whether an exception is for something that has a choice of precisions."""
        matched = matching(program, override.pattern)
        if self.target.arithmetic == "float16" and override.precision in ("fp32", "fp16"):
            return bool(matched)
        return not set(choices(program)).isdisjoint(matched)

    def with_ranges(self, component: Component, program: Program, keeper: Keeper) -> Program:
        """The program with the ranges that its integers need."""
        passed, known = moved(program), program.plan.ranges
        wanted = [name for name in integer_tensors(program) if name not in known and name not in passed]
        ranges = dict(known)
        if wanted:
            own = keeper.on("ranges", self.recipe.observer, self.symmetric, wanted)
            ranges |= own.json("ranges", dict[str, Range], lambda: self.calibrated(component, program, wanted))
        return replace(program, plan=program.plan.model_copy(update={"ranges": pass_on(program, ranges)}))

    def calibrated(self, component: Component, program: Program, nodes: Sequence[str]) -> dict[str, Range]:
        self.report(f"{self.target.name}: {component.name}: calibrating")
        samples, observer = self.samples(component), self.recipe.observer
        return calibrate(program, samples, observer, nodes, symmetric=self.symmetric)

    @property
    def symmetric(self) -> bool:
        """Whether integers reach as far below zero as above."""
        return self.target.scheme is not None and self.target.scheme.symmetric

    def left_open(self, program: Program) -> Program:
        """The program with integers for the runtime to choose, if that is asked for."""
        return self.run_pass(LeaveIntegersOpen(), program, self.target).program if self.recipe.implicit else program

    def quantize(self, program: Program) -> Program:
        return self.run_pass(InsertQuantization(), program, self.rounding).program

    def try_out(self, program: Program) -> Program:
        """A program quantized for a search, which measures itself how far off it is."""
        return InsertQuantization()(program, self.rounding).program


def spread(calls: Samples) -> Samples:
    """The first of many samples, the last, and some between them."""
    places = np.linspace(0, len(calls) - 1, min(len(calls), TRIED_SAMPLES)).round().astype(int)
    return [calls[place] for place in places]


def tensors_of(call: Mapping[str, Array]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in call.items()}
