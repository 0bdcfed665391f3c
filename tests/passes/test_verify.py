from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, component_of, tensors_for
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization
from voxc.passes.simplify.clean_up import CleanUp
from voxc.passes.verify import run_verified

aten = torch.ops.aten


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv1d(4, 8, 3)
        self.second = nn.Conv1d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


@dataclass(frozen=True)
class Shifts(Rewrite):
    """Adds a number to what a ReLU gives."""

    by: float = 0.0

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        (relu,) = editor.calls(aten.relu.default)
        with editor.before(relu.next):
            shifted = editor.call(aten.add.Tensor, relu, self.by)
        relu.replace_all_uses_with(shifted, delete_user_cb=lambda user: user is not shifted)
        editor.modified = True
        yield "shifted"


@dataclass(frozen=True)
class RoundsAndShifts(Shifts):
    least_snr: ClassVar[float] = 20.0


@pytest.fixture(scope="module")
def net() -> Component:
    return component_of(Net(), (1, 4, FRAMES))


def cleaned(net: Component, target: Target) -> Program:
    return CleanUp()(export(net, {"T": FRAMES}, dynamic=False), target).program


@pytest.mark.parametrize("sound", [Shifts(by=1e-7), RoundsAndShifts(by=1e-2)], ids=["tolerance", "ratio"])
def test_a_sound_pass_passes(net: Component, target: Target, sound: Shifts) -> None:
    assert run_verified(sound, cleaned(net, target), target, tensors_for(net)).notes == ("shifted",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Shifts(by=0.1), r"shifts moved y of test by 0\.\d+, more than its tolerance of 1e-05"),
        (RoundsAndShifts(by=float("nan")), "rounds_and_shifts moved y of test to a signal-to-noise ratio of -inf dB"),
    ],
)
def test_a_pass_that_moves_the_numbers_is_named(net: Component, target: Target, wrong: Shifts, message: str) -> None:
    with pytest.raises(PassError, match=message):
        run_verified(wrong, cleaned(net, target), target, tensors_for(net))


def test_a_pass_that_leaves_the_graph_runs_nothing(net: Component, target: Target) -> None:
    """A plan is not in the graph yet: no tensors are needed."""
    assert run_verified(AnnotatePrecision("fp32"), cleaned(net, target), target, {}).program.plan.default == "fp32"


def with_ranges(net: Component, target: Target, scale: float) -> Program:
    """The network in int8, by the ranges of its own values times `scale`."""
    program = AnnotatePrecision("int8")(cleaned(net, target), target).program
    ranges: dict[str, tuple[float, float]] = {}

    def watch(node: torch.fx.Node, value: object) -> None:
        if isinstance(value, Tensor) and value.dtype is torch.float32:
            ranges[node.name] = (scale * value.min().item(), scale * value.max().item())

    program.run(tensors_for(net), watch)
    plan: PrecisionPlan = program.plan.model_copy(update={"ranges": ranges})
    return replace(program, plan=plan)


def test_integers_by_the_right_ranges_pass(net: Component, target: Target) -> None:
    run_verified(InsertQuantization(), with_ranges(net, target, 1.0), target, tensors_for(net))


@pytest.mark.parametrize("scale", [0.01, 1000.0])
def test_integers_by_wrong_ranges_do_not(net: Component, target: Target, scale: float) -> None:
    with pytest.raises(PassError, match="insert_quantization moved y of test to a signal-to-noise ratio"):
        run_verified(InsertQuantization(), with_ranges(net, target, scale), target, tensors_for(net))
