from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import component_of
from voxc.compiler.core.program import Program, export
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import (
    Call,
    Match,
    Refused,
    accepted,
    anything,
    call_to,
    one_of,
    rewrite_matches,
    weight,
    where,
)

aten = torch.ops.aten


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        squared = torch.tanh(x) * torch.tanh(x)
        scaled = self.scale * torch.exp(x)
        return torch.neg(squared.permute(1, 0).clone().permute(1, 0)) + scaled


@pytest.fixture(scope="module")
def program() -> Program:
    return export(component_of(Net(), (2, 3)), 12, dynamic=False)


def matched(program: Program, pattern: Call) -> list[str]:
    return [match.node.name for match in pattern.matches(GraphEditor(program))]


def test_targets_operands_and_names(program: Program) -> None:
    (match,) = call_to(aten.exp.default, anything("x"), name="whole").matches(GraphEditor(program))
    assert match.node is match["whole"]
    assert match["x"].name == "x"


def test_a_name_that_stands_twice_is_one_value(program: Program) -> None:
    square = call_to(aten.mul.Tensor, anything("x"), anything("x"))
    assert matched(program, square) == []  # the two are equal, and not the same
    assert matched(program, call_to(aten.mul.Tensor, call_to(aten.tanh.default, anything("x")),
                                    call_to(aten.tanh.default, anything("x")))) == ["mul"]  # fmt: skip


@pytest.mark.parametrize(("commutative", "expected"), [(False, []), (True, ["mul_1"])])
def test_operands_may_change_places(program: Program, commutative: bool, expected: list[str]) -> None:
    scaled = call_to(aten.mul.Tensor, call_to(aten.exp.default), weight(), commutative=commutative)
    assert matched(program, scaled) == expected


def test_weights_are_no_inputs(program: Program) -> None:
    assert matched(program, call_to(aten.exp.default, weight())) == []
    assert matched(program, call_to(aten.mul.Tensor, weight("scale"))) == ["mul_1"]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        (call_to(aten.permute.default, anything(), [1, 0]), 2),
        (call_to(aten.permute.default, anything(), [0, 1]), 0),
        (call_to(aten.permute.default, dims=one_of([0, 1], [1, 0])), 2),
        (call_to(aten.permute.default, dims=where(lambda dims: len(dims) == 3)), 0),
    ],
)
def test_arguments_by_place_and_by_name(program: Program, pattern: Call, count: int) -> None:
    assert len(matched(program, pattern)) == count


@pytest.mark.parametrize(("through", "count"), [((), 0), ((aten.clone.default,), 1)])
def test_calls_in_between_are_looked_through(program: Program, through: tuple[object, ...], count: int) -> None:
    first = call_to(aten.permute.default, through=frozenset(through))
    assert len(matched(program, call_to(aten.permute.default, first))) == count


def refuse_first(match: Match) -> str | None:
    if match.node.name == "tanh":
        raise Refused("it is the first")
    return "found"


def test_a_refusal_leaves_a_note(program: Program) -> None:
    editor = GraphEditor(program)

    def rewrite(match: Match, finding: str) -> str:
        editor.replace(match.node, editor.call(aten.sigmoid.default, match.node.args[0]))
        return f"{finding} and rewritten"

    notes = list(rewrite_matches(editor, call_to(aten.tanh.default), refuse_first, rewrite, refusal="a tanh stays"))
    assert notes == ["tanh: a tanh stays: it is the first", "tanh_1: found and rewritten"]
    assert editor.modified
    assert [len(editor.calls(aten.tanh.default)), len(editor.calls(aten.sigmoid.default))] == [2, 1]
    editor.finish()


def test_nothing_accepted_is_nothing_modified(program: Program) -> None:
    editor = GraphEditor(program)
    none = rewrite_matches(editor, call_to(aten.tanh.default), lambda match: None, lambda *_: "no", refusal="")
    assert list(none) == []
    assert not editor.modified


def test_what_a_check_accepts(program: Program) -> None:
    nodes = {node.name: node for node in program.graph.nodes}
    tanh = call_to(aten.tanh.default)
    assert accepted(program, tanh, refuse_first, nodes["tanh_1"])
    assert not accepted(program, tanh, refuse_first, nodes["tanh"])
    assert not accepted(program, tanh, lambda match: False, nodes["tanh_1"])
    assert not accepted(program, tanh, refuse_first, nodes["exp"])
