from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import program_of
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


@dataclass(frozen=True)
class RenamesOutput(Pass):
    def run(self, program: Program, target: Target) -> PassResult:
        renamed = tuple(spec.model_copy(update={"name": "z"}) for spec in program.outputs)
        return PassResult(replace(program, outputs=renamed), modified=True)


@dataclass(frozen=True)
class AddsInput(Pass):
    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        (tanh,) = editor.calls(torch.ops.aten.tanh.default)
        editor.add_input(program.inputs[0].model_copy(update={"name": "extra"}), tanh.meta["val"])
        return PassResult(editor.finish(), modified=True)


@dataclass(frozen=True)
class AddsInputSaysSo(AddsInput):
    adds_inputs: ClassVar[bool] = True


@dataclass(frozen=True)
class BreaksGraph(Pass):
    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        (tanh,) = editor.calls(torch.ops.aten.tanh.default)
        last = editor.output_values()[0]
        with editor.before(tanh):
            tanh.update_arg(0, editor.call(torch.ops.aten.relu.default, last))
        return PassResult(editor.finish(), modified=True)


@dataclass(frozen=True)
class ChangesShape(Pass):
    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        (tanh,) = editor.calls(torch.ops.aten.tanh.default)
        with editor.before(tanh.next):
            shorter = editor.call(torch.ops.aten.slice.Tensor, tanh, 1, 0, 2)
        tanh.replace_all_uses_with(shorter, delete_user_cb=lambda user: user is not shorter)
        return PassResult(editor.finish(), modified=True)


@dataclass(frozen=True)
class PromisesTooMuch(Pass):
    def run(self, program: Program, target: Target) -> PassResult:
        return PassResult(program, modified=False)

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        raise PassError("checked on the result")


@dataclass(frozen=True)
class AppliesNowhere(PromisesTooMuch):
    def applies(self, target: Target) -> bool:
        return False


@pytest.mark.parametrize(
    ("compiler_pass", "complaint"),
    [
        (RenamesOutput(), "renames_output changed the inputs or outputs"),
        (AddsInput(), "adds_input changed the inputs or outputs"),
        (ChangesShape(), "changes_shape left test with inputs or outputs that its specs do not describe"),
        (BreaksGraph(), "breaks_graph left a broken graph"),
        (PromisesTooMuch(), "checked on the result"),
    ],
)
def test_a_pass_that_misbehaves_is_caught(target: Target, compiler_pass: Pass, complaint: str) -> None:
    with pytest.raises(PassError, match=complaint):
        compiler_pass(program_of(Plain(), (2, 3)), target)


def test_a_declared_input_may_be_added(target: Target) -> None:
    program = AddsInputSaysSo()(program_of(Plain(), (2, 3)), target).program
    assert [spec.name for spec in program.inputs] == ["x0", "extra"]
    assert [record.name for record in program.history] == ["adds_input_says_so"]


def test_where_a_pass_does_not_apply_nothing_runs(target: Target) -> None:
    program = program_of(Plain(), (2, 3))
    result = AppliesNowhere()(program, target)
    assert not result.modified
    assert result.program.exported is program.exported
    assert [(record.name, record.modified) for record in result.program.history] == [("applies_nowhere", False)]
