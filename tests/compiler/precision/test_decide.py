from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.compiler.precision.networks import layers_by_module, no_runtime, three
from tests.passes.harness import FRAMES, component_of
from voxc.compiler.calibration.ranges import calibrate
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.plan import Policy
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.precision import decide as module
from voxc.compiler.precision.clocks import Choice, Clock, LayerTime
from voxc.compiler.precision.decide import Decider, Decision
from voxc.compiler.precision.plans import Plans, write_plans
from voxc.compiler.precision.record import FOLDER
from voxc.compiler.precision.subject import Subject
from voxc.passes.base import Pass, PassResult


@dataclass
class Case:
    """A component, and what its deciders have asked of it."""

    component: Component
    target: Target
    sampled: int = 0

    @property
    def program(self) -> Program:
        return export(self.component, {"T": FRAMES}, dynamic=False)

    def samples(self, component: Component) -> Sequence[Mapping[str, Array]]:
        self.sampled += 1
        return [component.reference_inputs({"T": FRAMES}, seed) for seed in (1, 2, 3)]

    def decider(
        self,
        *precision: str,
        load: Callable[[Program], Runner] = no_runtime,
        target: Target | None = None,
        timed: str | None = "here",
        **options: object,
    ) -> Decider:
        recipe = PrecisionRecipe().with_options(precision, **options)  # type: ignore[arg-type]
        return Decider(target or self.target, recipe, self.samples, load, timed, lambda message: None)

    def decide(self, *precision: str, **options: object) -> Decision:
        return self.decider(*precision, **options).decide(self.component, self.program)  # type: ignore[arg-type]


@pytest.fixture
def case(target: Target) -> Case:
    return Case(three(), target)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer takes half the time as integers, by no clock."""

    class Known(Clock):
        told, evidence = "known", "host"

        def __init__(self, *_: object) -> None:
            pass

        def time(self, *_: object) -> LayerTime:
            return LayerTime(2.0, 1.0)

        def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
            return list(choices)

    monkeypatch.setattr(module, "LayerClock", Known)


def modules_of(decision: Decision) -> dict[str, str]:
    """What the layers are in, by their modules."""
    program = decision.program
    return {path: program.plan.precision(name) for path, name in layers_by_module(program).items()}


ALL = ("first", "second", "third")


def test_everything_as_integers(case: Case) -> None:
    decision = case.decide("int8")
    program = decision.program
    assert modules_of(decision) == dict.fromkeys(ALL, "int8")
    assert set(program.plan.ranges) >= set(program.plan.nodes)
    assert all(low < high for low, high in program.plan.ranges.values())
    assert (case.sampled, decision.search) == (1, None)


@pytest.mark.parametrize("policy", ["fp32", "fp16", "w8"])
def test_what_has_no_integers_needs_no_samples(case: Case, policy: Policy) -> None:
    decision = case.decide(policy)
    assert modules_of(decision) == dict.fromkeys(ALL, policy)
    assert (case.sampled, decision.program.plan.ranges) == (0, {})


def test_exceptions_go_before_the_policy(case: Case) -> None:
    assert modules_of(case.decide("int8", "second=fp32", "thi*=w8")) == {
        "first": "int8",
        "second": "fp32",
        "third": "w8",
    }
    assert modules_of(case.decide("fp32", "second=int8")) == {"first": "fp32", "second": "int8", "third": "fp32"}


@pytest.mark.usefixtures("clock")
def test_auto_takes_everything_where_it_may(case: Case, tmp_path: Path) -> None:
    decision = case.decide("auto", min_snr=5.0)
    assert modules_of(decision) == dict.fromkeys(ALL, "int8")
    assert decision.search is not None
    assert len(decision.search.trials) == 1
    assert [path.parent.name for path in decision.write(tmp_path)] == [FOLDER, FOLDER]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("halves", [True, False])
def test_auto_leaves_the_noisiest_to_floats(case: Case, halves: bool) -> None:
    """The others store their weights in float16 where the target has that."""
    if not halves:
        precisions = tuple(each for each in case.target.precisions if each != "fp16")
        case.target = case.target.model_copy(update={"precisions": precisions})
    hopeless = case.decide("auto", min_snr=200.0)
    assert hopeless.search is not None
    rows = {row.module: row.snr for row in hopeless.search.layers}
    assert min(rows, key=lambda path: rows[path] or 0) == "second"
    assert rows["second"] is not None
    decision = case.decide("auto", min_snr=rows["second"] - 0.4)  # but for a margin, it would do alone
    assert decision.search is not None
    found = modules_of(decision)
    assert found["second"] == ("fp16" if halves else "fp32")
    assert "int8" in found.values()
    assert decision.search.trials[-1].snr >= rows["second"]
    chosen = {path for path, precision in found.items() if precision == "int8"}
    names = layers_by_module(decision.program)
    assert set(decision.search.chosen) == {names[path] for path in chosen}


@pytest.mark.usefixtures("clock")
def test_auto_finds_nothing_where_the_bound_is_too_high(case: Case) -> None:
    decision = case.decide("auto", min_snr=200.0)
    assert modules_of(decision) == dict.fromkeys(ALL, "fp16")
    assert decision.search is not None
    assert decision.search.chosen == ()


@pytest.mark.usefixtures("clock")
def test_auto_decides_only_what_no_exception_does(case: Case) -> None:
    decision = case.decide("auto", "first=int8", "second=fp32", min_snr=5.0)
    assert modules_of(decision) == {"first": "int8", "second": "fp32", "third": "int8"}
    assert decision.search is not None
    assert [row.module for row in decision.search.layers] == ["third"]


@pytest.mark.parametrize(
    ("name", "unit"), [("apple-ane", "G MACs"), ("jetson-orin-nano-jp6", "ms"), ("tensorrt", "G MACs")]
)
def test_auto_estimates_where_no_runtime_is_here(name: str, unit: str) -> None:
    """Nothing is loaded; layers that are no integers stay float16."""
    case = Case(three(), load_targets()[name])
    loose = case.decide("auto", timed=None, min_snr=5.0)
    assert modules_of(loose) == dict.fromkeys(ALL, "int8")
    assert loose.search is not None
    assert all(row.snr is None for row in loose.search.layers), "nobody had to know"
    hopeless = case.decide("auto", timed=None, min_snr=200.0)
    assert hopeless.search is not None
    rows = {row.module: row.snr or 0 for row in hopeless.search.layers}
    strict = case.decide("auto", timed=None, min_snr=rows["second"] + 1)
    assert strict.search is not None
    found = modules_of(strict)
    assert found["second"] == "fp16"
    assert "int8" in found.values()
    assert (strict.search.evidence, strict.search.floats) == ("estimate", "float16")
    (figure,) = strict.figures.values()
    assert (figure.evidence, figure.unit) == ("estimate", unit)


def test_auto_of_what_has_no_layers_searches_nothing(target: Target) -> None:
    class Activation(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) * 2

    case = Case(component_of(Activation(), (1, 4, 8)), target)
    decision = case.decide("auto")
    assert (decision.search, decision.program.plan.nodes, case.sampled) == (None, {}, 0)


def test_auto_never_says_what_is_not_so(target: Target) -> None:
    """Products of batches are w8 in place of int8, and only then."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = nn.Parameter(torch.randn(1, 4, 3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.bmm(x, self.table)

    case = Case(component_of(Product(), (1, 5, 4)), target)
    assert any("w8 in place of int8" in note for note in case.decide("int8").program.plan.notes)
    plan = case.decide("auto").program.plan
    assert set(plan.nodes.values()) == {"fp16"}
    assert not plan.notes


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("options", [("int8",), ("fp32",), ("auto",), ("int8", "second=w8")])
def test_a_plan_gives_the_same_again(case: Case, tmp_path: Path, options: tuple[str, ...]) -> None:
    first = case.decide(*options, min_snr=20.0)
    policy = case.decider(*options).policy
    plans = Plans(target=case.target.name, policy=policy, components={"test": first.program.plan})
    sampled = case.sampled
    decider = case.decider(plan=write_plans(tmp_path, plans))
    again = decider.decide(case.component, case.program)
    assert case.sampled == sampled, "ranges are in the plan"
    assert again.program.plan == first.program.plan
    assert (again.search, decider.policy) == (None, policy)
    histories = [[(done.name, done.modified, done.notes) for done in each.program.history] for each in (first, again)]
    assert histories[0] == histories[1]
    graphs = [str(decider.quantize(each.program).graph) for each in (first, again)]
    assert graphs[0] == graphs[1]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_passes_run_as_the_driver_says(case: Case, precision: str) -> None:
    """But for those that a search tries, which it measures itself."""
    names: list[str] = []

    def run_pass(compiler_pass: Pass, program: Program, target: Target) -> PassResult:
        names.append(compiler_pass.name)
        return compiler_pass(program, target)

    decider = replace(case.decider(precision, min_snr=20.0), run_pass=run_pass)
    decision = decider.decide(case.component, case.program)
    assert set(names) == {"annotate_precision"}
    decider.quantize(decision.program)
    assert names[-1] == "insert_quantization"


class Other(nn.Module):
    """Another component of the voice, with a layer of its own, and a module that has nothing to quantize."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.proj = nn.Linear(4, 4)
        self.first = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.first(self.proj(x)) + 1


@pytest.fixture
def other(target: Target) -> Case:
    component = component_of(Other(), (1, 3, 4))
    return Case(replace(component, name="other"), target)


@pytest.mark.parametrize("pattern", ["second", "fir*"])
def test_exceptions_are_for_the_components_that_have_them(case: Case, other: Case, pattern: str) -> None:
    """`first` has a layer in one component and none in the other, which also ends in a tanh."""
    override = f"{pattern}=int8"
    case.decider(override).check([other.program, case.program])
    assert list(modules_of(case.decide("fp32", override)).values()).count("int8") == 1
    assert not other.decide("fp32", override).program.plan.nodes


def test_a_pattern_for_all_components(case: Case, other: Case) -> None:
    case.decider("int8", "*=fp32").check([other.program, case.program])
    assert not case.decide("int8", "*=fp32").program.plan.nodes
    assert not other.decide("int8", "*=fp32").program.plan.nodes


def test_a_pattern_for_none_names_what_is_near_in_all(case: Case, other: Case) -> None:
    programs = [other.program, case.program]
    with pytest.raises(RecipeError, match="other, test: no module or node 'prjo'; nearest: proj"):
        case.decider("prjo=int8").check(programs)
    with pytest.raises(RecipeError, match="other, test: no module or node 'secnod'; nearest: second"):
        case.decider("secnod=int8").check(programs)


def test_a_pattern_for_what_cannot_be_integers_is_refused_with_the_reason(case: Case, other: Case) -> None:
    with pytest.raises(RecipeError, match="nothing to quantize"):
        other.decider("first=int8").check([other.program])
    tanh = next(node.name for node in other.program.graph.nodes if "tanh" in str(node.target))
    with pytest.raises(RecipeError, match="nothing to quantize"):
        case.decider(f"{tanh}=int8").check([case.program, other.program])
    case.decider(f"{tanh}=fp32").check([case.program, other.program])


@pytest.mark.parametrize("policy", ["int8", "auto"])
def test_integers_that_the_runtime_may_choose(case: Case, policy: str, clock: None) -> None:
    """Every tensor that may be integers has a range, and none is written into the graph."""
    choosing = case.target.model_copy(update={"implicit": "convolutions"})
    decider = case.decider(policy, target=choosing, implicit=True, min_snr=1.0)
    program = decider.decide(case.component, case.program).program
    assert program.plan.implicit
    assert set(modules_of(Decision(program)).values()) == {"int8"}
    integers = {name for name, precision in program.plan.nodes.items() if precision == "int8"}
    assert "x0" in program.plan.ranges or "x" in program.plan.ranges
    assert integers <= set(program.plan.ranges)
    assert decider.quantize(program).graph is program.graph


def test_a_plan_that_leaves_integers_to_a_runtime_that_does_not_choose(case: Case, tmp_path: Path) -> None:
    choosing = case.target.model_copy(update={"implicit": "convolutions"})
    plan = case.decider("int8", target=choosing, implicit=True).decide(case.component, case.program).program.plan
    file = write_plans(tmp_path, Plans(target="there", policy="int8", components={"test": plan}))
    assert case.decider(target=choosing, plan=file).decide(case.component, case.program).program.plan == plan
    with pytest.raises(RecipeError, match=r"leaves int8 to a runtime, and that of .* does not choose"):
        case.decide(plan=file)


def test_choices_are_tried_on_samples_from_all_over_and_on_what_nothing_else_uses(case: Case) -> None:
    """None of the seeds are those of calibration (1 to 8) or of what is reported (0)."""
    assert [call["x"] for call in module.spread([{"x": place} for place in range(10)])] == [0, 3, 6, 9]  # type: ignore
    assert len(module.spread([{}])) == 1
    assert set(module.FURTHER_SEEDS).isdisjoint(range(9))
    tried: list[Mapping[str, Tensor]] = []

    def watched(subject: Subject, *rest: object) -> object:
        tried.extend(subject.inputs)
        return module_search(subject, *rest)

    module_search = module.search
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "search", watched)
        estimated = Case(case.component, load_targets()["apple-ane"])
        estimated.decide("auto", timed=None, min_snr=5.0)
    expected = [case.component.reference_inputs({"T": FRAMES}, seed) for seed in (1, 2, 3, *module.FURTHER_SEEDS)]
    assert len(tried) == len(expected)
    for found, call in zip(tried, expected, strict=True):
        torch.testing.assert_close(found["x0"], torch.from_numpy(call["x0"]))


def test_symmetric_integers_have_symmetric_ranges(case: Case) -> None:
    case.target = load_targets()["apple-gpu"]
    program = case.decide("int8").program
    samples = case.samples(case.component)
    found = [calibrate(program, samples, "mse", [*program.plan.ranges], symmetric=kind) for kind in (True, False)]
    assert program.plan.ranges == found[0] != found[1]
