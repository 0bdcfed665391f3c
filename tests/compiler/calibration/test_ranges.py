from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch
from torch import fx, nn

from tests.passes.harness import FRAMES, component_of
from voxc.compiler.calibration.ranges import calibrate, integer_tensors
from voxc.compiler.core.errors import PassError, QualityError
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export

SHAPE = (1, 3, FRAMES)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.first(x))
        return self.second(hidden) + torch.log(x[:, :1] + 100)


component = component_of(Network(), SHAPE)


def planned(**precisions: str) -> Program:
    plan = PrecisionPlan(nodes=precisions)  # type: ignore[arg-type]
    return replace(export(component, {"T": FRAMES}, dynamic=False), plan=plan)


def names(program: Program, target: object) -> list[str]:
    return [node.name for node in program.graph.nodes if node.target is target]


def test_ranges_are_those_of_the_tensors_over_all_samples() -> None:
    program = planned()
    first, second = names(program, torch.ops.aten.convolution.default)
    program = planned(**{second: "int8"})
    samples = [component.reference_inputs({"T": FRAMES}, seed) for seed in (1, 2, 3)]
    found = calibrate(program, samples, "minmax")
    (tanh,) = names(program, torch.ops.aten.tanh.default)
    assert list(found) == [tanh, second], "what the convolution takes and gives, and no weights"
    network = component.module
    with torch.no_grad():
        x = torch.from_numpy(samples[0]["x0"])
        values = [torch.tanh(network.first(torch.from_numpy(each["x0"]))) for each in samples]
        low, high = found[tanh]
        assert low == pytest.approx(min(value.min().item() for value in values), abs=1e-6)
        assert high == pytest.approx(max(value.max().item() for value in values), abs=1e-6)
        assert found[second][1] >= network.second(torch.tanh(network.first(x))).max().item() - 1e-6
    assert PrecisionPlan(ranges=found).ranges == found
    assert first not in found


def test_inputs_of_the_program_have_ranges_by_their_placeholder() -> None:
    (first, _) = names(planned(), torch.ops.aten.convolution.default)
    program = planned(**{first: "int8"})
    (given, *_) = integer_tensors(program)
    sample = component.reference_inputs({"T": FRAMES}, 1)
    assert calibrate(program, [sample], "minmax")[given] == (sample["x0"].min(), sample["x0"].max())


def test_nodes_can_be_named() -> None:
    program = planned()
    (tanh,) = names(program, torch.ops.aten.tanh.default)
    samples = [component.reference_inputs({"T": FRAMES}, 1)]
    assert list(calibrate(program, samples, "mse", [tanh])) == [tanh]
    assert calibrate(program, samples, "mse") == {}
    with pytest.raises(PassError, match="test: nothing gives no float32 tensor"):
        calibrate(program, samples, "mse", ["nothing"])


def test_what_is_not_a_number_is_an_error_with_the_node_and_the_sample() -> None:
    program = planned()
    (log,) = names(program, torch.ops.aten.log.default)
    good = component.reference_inputs({"T": FRAMES}, 1)
    bad = {"x0": good["x0"] - 1000}
    with pytest.raises(
        QualityError, match=rf"test, calibration sample 2: {log} gives values from nan to nan; .*recordings$"
    ):
        calibrate(program, [good, bad], "mse", [log])


def test_activations_are_let_go_of() -> None:
    """Of a long chain only the tensor at hand is alive."""

    class Chain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(20):
                x = torch.tanh(x)
            return x

    program = export(component_of(Chain(), SHAPE), {"T": FRAMES}, dynamic=False)
    seen: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def watch(node: fx.Node, value: object) -> None:
        if isinstance(value, torch.Tensor):
            seen.append(weakref.ref(value))
            alive.append(sum(each() is not None for each in seen))

    program.run({"x0": torch.randn(SHAPE)}, watch)
    assert len(alive) >= 20
    assert max(alive) <= 3
