from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, component_of, tensors_for
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.pipeline import pipeline

aten = torch.ops.aten


class NamedInput(nn.Module):
    """The copy of a graph renames what has the name of a builtin."""

    def forward(self, input: Tensor, filter: Tensor) -> Tensor:
        return torch.tanh(input).clone() + filter


class Passed(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return input + 0 * torch.tanh(input)


@pytest.mark.parametrize("dynamic", [False, True])
def test_inputs_may_have_the_names_of_builtins(target: Target, dynamic: bool) -> None:
    component = component_of(NamedInput(), (2, "T"), (2, "T"))
    program = export(component, {"T": 12}, dynamic)
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program
    assert calls(program, aten.clone.default) == 0, "a pass has made a copy"
    tensors = tensors_for(component)
    torch.testing.assert_close(program.run(tensors), component.run(tensors))
    torch.testing.assert_close(program.exported.module()(*tensors.values()), component.run(tensors)["y"])


def test_what_is_edited_is_a_copy(target: Target) -> None:
    program = export(component_of(Passed(), (2, 3)), 12, dynamic=False)
    before = str(program.graph)
    editor = GraphEditor(program)
    (tanh,) = editor.calls(aten.tanh.default)
    editor.replace(tanh, tanh.all_input_nodes[0])
    edited = editor.finish()
    assert str(program.graph) == before
    assert calls(edited, aten.tanh.default) == 0
    assert len(edited.graph.nodes) == len(program.graph.nodes) - 1


class Unsaved(nn.Module):
    """A buffer that is in no state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x).clone() + self.table


def test_buffers_that_are_not_saved_stay_so(target: Target) -> None:
    program = export(component_of(Unsaved(), (2, 3)), {"T": 12}, dynamic=False)
    editor = GraphEditor(program)
    (clone,) = editor.calls(aten.clone.default)
    editor.replace(clone, clone.all_input_nodes[0])
    edited = editor.finish().exported
    assert (list(edited.state_dict), list(edited.constants)) == ([], ["table"])
