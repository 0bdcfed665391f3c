from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.passes.harness import FRAMES, component_of, program_of
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.ane_layout import AneLayout
from voxc.passes.layout.channels_last import ChannelsLast
from voxc.passes.layout.planar_convolutions import PlanarConvolutions
from voxc.passes.layout.sub_pixel_upsampling import SubPixelUpsampling
from voxc.passes.simplify.fold_batch_norms import FoldBatchNorms
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm
from voxc.passes.simplify.share_equal_nodes import ShareEqualNodes
from voxc.passes.source.hoist_noise import HoistNoise
from voxc.passes.source.sums_as_products import SumsAsProducts

aten = torch.ops.aten
SIGNAL = (1, 4, FRAMES)


class Net(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(-1)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() * 2 + x.tanh()


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


@dataclass(frozen=True)
class DropsTanh(Rewrite):
    counts: bool = True

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        for tanh in editor.calls(aten.tanh.default):
            editor.replace(tanh, tanh.all_input_nodes[0])
            yield f"{tanh.name} is gone"
        editor.modified = editor.modified and self.counts


def test_what_nothing_uses_goes(target: Target) -> None:
    result = DropsTanh()(program_of(Twice(), SIGNAL), target)
    assert (result.modified, result.notes) == (True, ("tanh is gone", "tanh_1 is gone"))
    assert not [node for node in result.program.graph.nodes if node.target is aten.tanh.default]


@pytest.mark.parametrize(("module", "counts"), [(Sum(), True), (Twice(), False)], ids=["no match", "taken back"])
def test_without_a_change_the_program_is_the_same(target: Target, module: nn.Module, counts: bool) -> None:
    program = program_of(module, SIGNAL)
    result = DropsTanh(counts)(program, target)
    assert not result.modified
    assert result.program.exported is program.exported


def conv() -> nn.Module:
    return nn.Conv1d(4, 4, 3, padding=1)


@pytest.mark.parametrize(
    ("compiler_pass", "module", "options"),
    [
        (FoldWeightNorm(), Net(weight_norm(conv())), {}),
        (FoldBatchNorms(), Net(nn.BatchNorm1d(4)), {}),
        (ShareEqualNodes(), Twice(), {}),
        (HoistNoise(), Noisy(), {}),
        (SumsAsProducts(), Sum(), {"scans": False}),
        (ChannelsLast(), Net(conv()), {"layout": "channels_last"}),
        (PlanarConvolutions(), Net(conv()), {"layout": "planar"}),
        (AneLayout(), Net(conv()), {"layout": "ane"}),
        (SubPixelUpsampling(), Net(nn.ConvTranspose1d(4, 4, 4, 2, 1)), {"layout": "channels_last", "sub_pixel": 2.0}),
    ],
    ids=lambda value: value.name if isinstance(value, Rewrite) else "",
)
def test_a_pass_that_leaves_its_work_undone_is_caught(
    target: Target,
    compiler_pass: Rewrite,
    module: nn.Module,
    options: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = target.model_copy(update=options)
    noise = (SIGNAL,) if isinstance(module, Noisy) else ()
    program = export(component_of(module, SIGNAL, noise=noise), {"T": FRAMES}, dynamic=False)
    if isinstance(compiler_pass, SubPixelUpsampling):
        program = ChannelsLast()(program, target).program
    assert compiler_pass(program, target).modified
    monkeypatch.setattr(type(compiler_pass), "edit", lambda self, editor, target: iter(()))
    with pytest.raises(PassError, match=compiler_pass.name):
        compiler_pass(program, target)
