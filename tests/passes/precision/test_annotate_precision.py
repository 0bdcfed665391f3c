from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import program_of
from voxc.compiler.core.errors import PassError, RecipeError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.plan import Policy, Precision, PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target, load_targets
from voxc.passes.base import PassResult
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.rules import candidates, complete, protected
from voxc.passes.simplify.clean_up import CleanUp

SIN, CUMSUM = torch.ops.aten.sin.default, torch.ops.aten.cumsum.default
CONVOLUTION, ADDMM = torch.ops.aten.convolution.default, torch.ops.aten.addmm.default


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 4, 3, padding=1)
        self.second = nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.1)), 0.1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(4, 4) for _ in range(4))
        self.relative = nn.Parameter(torch.randn(1, 4, 4))
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        query = torch.bmm(self.query(x), self.relative)
        weights = torch.softmax(query @ self.key(x).transpose(1, 2) / 2, -1)
        return self.norm(x + self.out(weights @ self.value(x)))


class Voice(nn.Module):
    """Attention, a feed-forward layer, a sine at a phase that a layer leads to, a residual block, and audio."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = Attention()
        self.feed = nn.Linear(4, 4)
        self.pitch = nn.Linear(4, 4)
        self.pre = nn.Conv1d(4, 4, 3, padding=1)
        self.block = Block()
        self.gain = nn.Conv1d(1, 1, 1)
        self.post = nn.Conv1d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        source = torch.sin(torch.cumsum(self.pitch(x), 1)).transpose(1, 2)
        x = self.pre(F.relu(self.feed(self.attention(x))).transpose(1, 2))
        x = self.block(x) / 3
        loud = self.gain(x[:, :1])
        return torch.tanh(self.post(F.leaky_relu(x) + source * loud))


@pytest.fixture(scope="module")
def voice() -> Program:
    return CleanUp()(program_of(Voice(), (1, 12, 4)), load_targets()["onnxruntime-cpu"]).program


def annotate(program: Program, target: Target, policy: Policy, *overrides: tuple[str, Precision]) -> PassResult:
    return AnnotatePrecision(policy, overrides)(program, target)


def by_module(program: Program) -> dict[str, str]:
    """What the layers of each module are in; without those in float32."""
    nodes = {node.name: node for node in program.graph.nodes}
    return {module_path(nodes[name]): each for name, each in program.plan.nodes.items()}


def node_in(program: Program, target: object, path: str) -> str:
    return next(node.name for node in program.graph.nodes if node.target is target and module_path(node) == path)


ATTENTION = ("attention.query", "attention.key", "attention.value", "attention.out")
CONVOLUTIONS = ("pre", "block.first", "block.second")


def test_integers_spread_from_layers_to_what_is_between_them(target: Target, voice: Program) -> None:
    program = annotate(voice, target, "int8").program
    aten = torch.ops.aten
    kinds = {node.name: node.target for node in program.graph.nodes}
    chosen = [kinds[name] for name in program.plan.nodes]
    assert chosen.count(aten.convolution.default) == 3
    assert chosen.count(aten.leaky_relu.default) == 2, "not the one whose user is float32"
    assert chosen.count(aten.relu.default) == 1
    assert chosen.count(aten.add.Tensor) == 0, "what the block gives is used by floats alone"
    assert set(by_module(program)) >= {*ATTENTION, *CONVOLUTIONS, "feed"}


def test_products_of_batches_have_no_integer_kernels(target: Target, voice: Program) -> None:
    result = annotate(voice, target, "int8")
    assert by_module(result.program)["attention"] == "w8"
    assert any("w8 in place of int8" in note and "bmm" in note for note in result.notes)


def test_products_of_batches_stay_floats_where_weights_are_not_stored_smaller(target: Target, voice: Program) -> None:
    """Pairs around weights alone are what a target without w8 does not take."""
    poor = target.model_copy(update={"precisions": ("fp32", "int8")})
    result = annotate(voice, poor, "int8")
    assert "attention" not in by_module(result.program), "it is what the rest is"
    assert "w8" not in result.program.plan.nodes.values()
    assert any("fp32 in place of int8" in note and "bmm" in note for note in result.notes)


def test_a_sum_between_integers_is_an_integer(target: Target) -> None:
    program = program_of(nn.Sequential(nn.Conv1d(4, 4, 1), Block(), Block()), (1, 4, 12))
    plan = annotate(program, target, "int8").program.plan
    assert plan.precision(node_in(program, torch.ops.aten.add.Tensor, "1")) == "int8"
    assert plan.precision(node_in(program, torch.ops.aten.add.Tensor, "2")) == "fp32"


def test_notes_are_in_the_order_of_the_graph(target: Target) -> None:
    """They are part of the build, which is the same in every process."""

    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ParameterList(nn.Parameter(torch.randn(1, 4, 4)) for _ in range(8))

        def forward(self, x: Tensor) -> Tensor:
            for table in self.tables:
                x = torch.bmm(x, table)
            return x

    result = annotate(program_of(Products(), (1, 5, 4)), target, "int8")
    assert result.notes == ("w8 in place of int8: products of batches have no integer kernels (bmm, bmm_1, bmm_2 ...)",)
    assert result.program.plan.notes == result.notes


def test_a_plan_is_taken_as_it_is(target: Target, voice: Program) -> None:
    first = annotate(voice, target, "int8")
    again = AnnotatePrecision(plan=first.program.plan)(voice, target)
    assert (again.program.plan, again.modified, again.notes) == (first.program.plan, True, first.notes)


def test_what_must_stay_float32_is_known_by_what_it_does(voice: Program) -> None:
    reasons = protected(voice)
    aten = torch.ops.aten
    assert "cumulative sum" in reasons[node_in(voice, aten.addmm.default, "pitch")]
    assert reasons[node_in(voice, aten.sin.default, "")] == "is a sine"
    assert "tanh" in reasons[node_in(voice, aten.convolution.default, "post")]
    assert "single weight" in reasons[node_in(voice, aten.convolution.default, "gain")]
    assert "softmax" in reasons[node_in(voice, aten._softmax.default, "attention")]
    assert "normalisation" in reasons[node_in(voice, aten.native_layer_norm.default, "attention.norm")]
    assert node_in(voice, aten.convolution.default, "pre") not in reasons


def test_mixed_keeps_attention_in_float16(target: Target, voice: Program) -> None:
    plan = by_module(annotate(voice, target, "mixed").program)
    assert {path: plan[path] for path in (*ATTENTION, "attention")} == dict.fromkeys((*ATTENTION, "attention"), "fp16")
    assert {path: plan[path] for path in (*CONVOLUTIONS, "feed")} == dict.fromkeys((*CONVOLUTIONS, "feed"), "int8")


def test_mixed_says_where_there_is_no_float16(target: Target, voice: Program) -> None:
    without = target.model_copy(update={"precisions": ("fp32", "int8", "mixed"), "absent": {"fp16": "no such kernels"}})
    result = annotate(voice, without, "mixed")
    assert not set(by_module(result.program)) & {*ATTENTION}
    assert "attention stays fp32: no such kernels" in result.notes


@pytest.mark.parametrize("precision", ["fp16", "w8"])
def test_weights_alone(target: Target, voice: Program, precision: Precision) -> None:
    plan = by_module(annotate(voice, target, precision).program)
    assert plan == dict.fromkeys((*ATTENTION, "attention", *CONVOLUTIONS, "feed"), precision)


def test_what_is_emulated_is_told(target: Target, voice: Program) -> None:
    changes = {"precisions": ("fp16", "fp32"), "emulated": {"int8": "w8"}, "arithmetic": "float16"}
    result = annotate(voice, target.model_copy(update=changes), "w8")
    told = "w8 is emulated: it makes the bundle smaller; the target computes in fp16, as without it"
    assert told in result.notes
    assert told in result.program.plan.notes
    assert not [note for note in annotate(voice, target, "w8").notes if "emulated" in note]
    with pytest.raises(RecipeError, match="has no precision 'w8'"):
        annotate(voice, target.model_copy(update={**changes, "emulated": {}}), "w8")


def test_later_overrides_win_and_modules_hold_what_is_inside(target: Target, voice: Program) -> None:
    plan = by_module(annotate(voice, target, "fp32", ("block", "int8"), ("block.second", "fp32")).program)
    assert plan == {"block.first": "int8"}
    name = node_in(voice, torch.ops.aten.convolution.default, "pre")
    assert by_module(annotate(voice, target, "int8", ("*", "fp32"), (name, "w8")).program) == {"pre": "w8"}


def test_a_pattern_leaves_what_is_protected_and_says_so(target: Target, voice: Program) -> None:
    result = annotate(voice, target, "fp32", ("p*", "int8"))
    assert by_module(result.program) == {"pre": "int8"}
    assert any("post" in note and "tanh" in note for note in result.notes)
    assert any("pitch" in note and "cumulative sum" in note for note in result.notes)


def test_what_is_protected_or_has_nothing_to_quantize_is_refused(target: Target, voice: Program) -> None:
    with pytest.raises(RecipeError, match="post=int8: post .* gives the output, before a tanh"):
        annotate(voice, target, "fp32", ("post", "int8"))
    with pytest.raises(RecipeError, match="pitch .* leads to a cumulative sum"):
        annotate(voice, target, "fp32", ("pitch", "int8"))
    leaky = node_in(voice, torch.ops.aten.leaky_relu.default, "block")
    with pytest.raises(RecipeError, match="both of its neighbours"):
        annotate(voice, target, "fp32", (leaky, "int8"))
    tanh = node_in(voice, torch.ops.aten.tanh.default, "")
    with pytest.raises(RecipeError, match="nothing to quantize"):
        annotate(voice, target, "fp32", (tanh, "int8"))


def test_a_sum_that_is_asked_for_and_not_between_integers_is_told(target: Target, voice: Program) -> None:
    name = node_in(voice, torch.ops.aten.add.Tensor, "block")
    result = annotate(voice, target, "fp32", (name, "int8"))
    assert not result.program.plan.nodes
    assert "not between integers" in result.notes[0]


def test_a_pattern_without_a_match_names_what_is_near(target: Target, voice: Program) -> None:
    with pytest.raises(RecipeError, match=r"no module or node 'blok.frist'; nearest: block.first"):
        annotate(voice, target, "fp32", ("blok.frist", "int8"))


def test_a_target_without_a_precision_refuses_it(target: Target, voice: Program) -> None:
    with pytest.raises(RecipeError, match="no precision 'int4': ONNX Runtime has no int4"):
        annotate(voice, target, "fp32", ("pre", "int4"))
    with pytest.raises(PassError, match="no integer kernels"):
        annotate(voice, target.model_copy(update={"scheme": None}), "int8")


def test_the_plan_changes_once(target: Target, voice: Program) -> None:
    result = annotate(voice, target, "int8")
    assert result.modified
    assert not annotate(result.program, target, "int8").modified
    assert not annotate(voice, target, "fp32").modified


def test_a_choice_of_candidates_is_completed(voice: Program) -> None:
    names = candidates(voice)
    assert not set(names) & set(protected(voice))
    assert set(names) <= set(complete(voice, names))
    first, second = (
        node_in(voice, torch.ops.aten.convolution.default, f"block.{name}") for name in ("first", "second")
    )
    assert set(complete(voice, {second})) == {second}
    assert len(complete(voice, {first, second})) == 3, "with the activation between them"
    assert complete(voice, ()) == {}


def test_a_search_gives_its_choice_as_overrides(target: Target, voice: Program) -> None:
    names = candidates(voice)[:4]
    plan = annotate(voice, target, "auto", *((name, "int8") for name in names)).program.plan
    assert plan.nodes == complete(voice, names)


def test_constants_are_no_integers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 1)
            self.level = nn.Parameter(torch.ones(1, 2, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.level * 2 + x)

    program = program_of(Scaled(), (1, 2, 5))
    assert set(complete(program, candidates(program))) == {node_in(program, torch.ops.aten.convolution.default, "conv")}


@pytest.fixture
def halves(target: Target) -> Target:
    """A target that computes in float16."""
    precisions = ("fp16", "fp32", "w8", "int4", "int8")
    return target.model_copy(update={"arithmetic": "float16", "precisions": precisions})


def test_all_but_the_phase_computes_in_float16(voice: Program, halves: Target) -> None:
    plan = annotate(voice, halves, "fp16").program.plan
    assert plan.default == "fp16"
    assert set(plan.nodes.values()) == {"fp32"}
    names = {node.name for node in voice.graph.nodes if node.target in (SIN, CUMSUM) or module_path(node) == "pitch"}
    assert names <= set(plan.nodes)
    assert plan.computes_in_half(node_in(voice, CONVOLUTION, "post"))
    assert not plan.computes_in_half(node_in(voice, ADDMM, "pitch"))


def test_weights_of_few_bits_leave_the_rest_in_float16(voice: Program, halves: Target) -> None:
    result = annotate(voice, halves, "int4", ("pre", "fp32"))
    found, plan = by_module(result.program), result.program.plan
    assert plan.precision(node_in(voice, ADDMM, "feed")) == "int4"
    assert found["block.first"] == "w8"  # three taps
    assert found["pre"] == "fp32"
    assert plan.precision(node_in(voice, CONVOLUTION, "post")) == "fp16"
    assert any("convolutions over time keep 8 bits" in note for note in result.notes)
    assert any("post" in note and "stays fp16" in note for note in result.notes)


def test_grouped_weights_need_whole_groups(voice: Program, halves: Target) -> None:
    grouped = halves.model_copy(update={"weights": "grouped"})
    result = annotate(voice, grouped, "w8")
    assert "w8" not in result.program.plan.nodes.values()  # four inputs
    assert any("fp16 in place of w8: inputs are not groups of 32" in note for note in result.notes)


def test_a_phase_in_float16_is_refused(voice: Program, halves: Target) -> None:
    with pytest.raises(RecipeError, match="is a sine"):
        annotate(voice, halves, "fp16", (node_in_graph(voice, SIN), "fp16"))


def node_in_graph(program: Program, target: object) -> str:
    return next(node.name for node in program.graph.nodes if node.target is target)


def test_where_layers_give_floats_layers_alone_are_integers(voice: Program) -> None:
    """Sums and activations between them go on with the floats; a sum that is asked for is told of."""
    target = load_targets()["jetson-orin-nano-jp6"]
    plan = annotate(voice, target, "int8").program.plan
    kinds = {node.target for node in voice.graph.nodes if plan.precision(node.name) == "int8"}
    assert kinds == {CONVOLUTION, ADDMM}
    total = next(node.name for node in voice.graph.nodes if node.target is torch.ops.aten.add.Tensor)
    notes = annotate(voice, target, "fp16", (total, "int8")).notes
    assert any(total in note and "stays fp16" in note for note in notes)


def test_a_plan_of_another_graph_is_refused(target: Target) -> None:
    plan = PrecisionPlan(nodes={"convolution_99": "fp16"})
    with pytest.raises(PassError, match="has no nodes convolution_99, and the plan does"):
        AnnotatePrecision(plan=plan)(program_of(nn.Tanh(), (2, 3)), target)
