from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, component_of, tensors_for
from voxc.compiler.core.draws import ReplayNoise
from voxc.compiler.core.errors import CompileError
from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import export


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv1d(2, 2, 3, padding=1)
        self.register_buffer("scale", torch.full((1, 2, 1), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale + torch.randn_like(x) - 0.5 * torch.randn_like(x)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_noise_is_replayed_in_order() -> None:
    with ReplayNoise([torch.ones(2), torch.zeros(2)]):
        assert torch.equal(torch.randn_like(torch.empty(2)), torch.ones(2))
        assert torch.equal(torch.randn(2), torch.zeros(2))


@pytest.mark.parametrize("dynamic", [False, True])
def test_an_exported_program_computes_what_the_component_does(dynamic: bool) -> None:
    component = component_of(Noisy(), (1, 2, "T"), noise=((1, 2, "T"), (1, 2, "T")))
    program = export(component, {"T": FRAMES}, dynamic)
    assert program.inputs[0].shape == (1, 2, "T" if dynamic else FRAMES)
    for frames in (FRAMES, FRAMES + 1) if dynamic else (FRAMES,):
        tensors = tensors_for(component, frames)
        expected = component.module.inner(tensors["x0"]) * 2 + tensors["noise0"] - 0.5 * tensors["noise1"]  # type: ignore[operator]
        torch.testing.assert_close(component.run(tensors)["y"], expected)
        torch.testing.assert_close(program.run(tensors)["y"], expected)


def test_what_cannot_be_traced_is_one_line() -> None:
    with pytest.raises(CompileError, match="test: torch.export refused the network") as caught:
        export(component_of(Branching(), (2,)), {"T": FRAMES}, dynamic=False)
    assert "\n" not in str(caught.value)


def test_nodes_know_their_module_and_all_their_arguments() -> None:
    program = export(component_of(Noisy(), (1, 2, "T"), noise=((1, 2, "T"), (1, 2, "T"))), {"T": FRAMES}, dynamic=False)
    (conv,) = (node for node in program.graph.nodes if node.target is torch.ops.aten.convolution.default)
    assert module_path(conv) == "inner"
    assert call_arguments(conv)[3:] == [[1], [1], [1], False, [0], 1]
    assert conv.name in program.compute_nodes()
