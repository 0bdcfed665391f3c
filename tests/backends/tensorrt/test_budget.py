from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

from tests.passes.harness import Function, component_of, program_of, tensors_for
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tensorrt.budget import (
    LEAST_WORKSPACE_MIB,
    LIBRARIES_MIB,
    SYSTEM_MIB,
    WORKSPACE_SHARE,
    Budget,
    Need,
    budget_of,
    peak_activations,
    weight_bytes,
)
from voxc.backends.tensorrt.device.builder import Builder
from voxc.compiler.core.plan import Precision, PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import load_targets
from voxc.passes.simplify.clean_up import CleanUp

BARE = load_targets()["onnxruntime-cpu"]
BOARD = BARE.model_copy(update={"name": "board", "memory_mib": 4096, "arithmetic": "float16"})
BASE = SYSTEM_MIB + LIBRARIES_MIB
FREE = 4096 - BASE
HALF = PrecisionPlan(default="fp16")


def chain() -> Program:
    """x [10], which stays -> [40] -> a sum of [10] -> [10], with views in between."""
    return program_of(Function(lambda x: torch.cat([x, x, x, x]).view(4, 10).sum(0).exp()), (10,))


def test_activations_are_those_alive_at_once() -> None:
    assert peak_activations(chain(), BOARD) == 4 * (10 + 40 + 10)
    assert peak_activations(replace(chain(), plan=HALF), BOARD) == 4 * 10 + 2 * (40 + 10)


def test_what_is_needed_later_stays_alive_through_its_views() -> None:
    program = program_of(Function(lambda x: (y := x.exp()).view(2, 5).sum() + y.cos().sin()), (10,))
    assert peak_activations(program, BOARD) == 4 * (10 + 10 + 10) + 4
    assert peak_activations(program_of(Function(lambda x: x.exp().cos().sin()), (10,)), BOARD) == 4 * (10 + 10 + 10)


def test_all_parts_of_a_split_live_as_long_as_one() -> None:
    program = program_of(Function(lambda x: x.exp().split([2, 8])[0].cos()), (10,))
    assert peak_activations(program, BOARD) == 4 * (10 + 10 + 10)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.first(x).split(4, 1)
        gated = torch.tanh(left) * torch.sigmoid(right)
        return (gated.transpose(1, 2) @ self.second(gated)).relu() + x.sum()


def test_it_is_what_pytorch_allocates() -> None:
    component = component_of(Mixed(), (1, 4, 50))
    program = CleanUp()(export(component, {"T": 50}, dynamic=False), BARE).program
    weights = {program.weight(node).data_ptr() for node in program.graph.nodes if program.weight_key(node)}  # type: ignore[union-attr]
    alive: Counter[int] = Counter()
    bytes_of: dict[int, int] = {}
    most = 0

    def watch(node: fx.Node, value: object) -> None:
        nonlocal most
        for tensor in value if isinstance(value, tuple | list) else (value,):
            if isinstance(tensor, Tensor) and (place := tensor.untyped_storage().data_ptr()) not in weights:
                alive[place] += 1
                bytes_of[place] = tensor.untyped_storage().nbytes()
                weakref.finalize(tensor, alive.subtract, [place])
        most = max(most, sum(bytes_of[place] for place, count in alive.items() if count > 0))

    program.run(tensors_for(component, 50), watch)
    assert peak_activations(program, BARE) == most


def test_weights_are_as_wide_as_the_plan_wants() -> None:
    program = program_of(nn.Linear(6, 4, bias=False), (1, 6))
    assert weight_bytes(program, BOARD) == (96, 96)
    assert weight_bytes(replace(program, plan=HALF), BOARD) == (96, 48)
    assert weight_bytes(planned(program, "int8"), BOARD) == (96, 24)


def planned(program: Program, precision: Precision) -> Program:
    return replace(program, plan=PrecisionPlan(nodes=dict.fromkeys(program.compute_nodes(), precision)))


def test_emulated_weights_are_small_in_files_alone() -> None:
    """The parser reads float32, and the engine has float16."""
    program = planned(program_of(nn.Linear(6, 4, bias=False), (1, 6)), "w8")
    assert weight_bytes(program, BOARD) == (96, 24)
    assert weight_bytes(program, BOARD.model_copy(update={"emulated": {"int8": "w8"}})) == (96, 48)


def need(name: str = "a", stored: int = 1, engine: int = 1, activations: int = 1) -> Need:
    return Need(name, stored, engine, activations)


def budget(*needs: Need, memory: int = 4096, frames: int = 200) -> Budget:
    return Budget("board", memory, frames, needs)


def test_building_takes_one_component_at_a_time_and_running_all() -> None:
    found = budget(need("a", 400, 200, 100), need("b", 100, 50, 500))
    assert found.largest.component == "a"
    assert found.workspace == 4096 // WORKSPACE_SHARE
    assert found.fits
    assert f"= {BASE + 400 + 2 * 200 + 100 + 4096 // WORKSPACE_SHARE}; running" in found.arithmetic
    assert f"= {BASE + 200 + 100 + 50 + 500}; of 4096" in found.arithmetic


def test_the_workspace_is_what_is_left() -> None:
    found = budget(need(stored=FREE - 303))
    assert found.workspace == 300
    assert found.fits
    assert budget(need(), memory=8192).workspace == 2048
    assert Builder.LEAST_WORKSPACE == LEAST_WORKSPACE_MIB << 20
    assert budget(need(stored=FREE - 3 - LEAST_WORKSPACE_MIB)).fits
    assert not budget(need(stored=FREE - 3 - LEAST_WORKSPACE_MIB + 1)).fits


@pytest.mark.parametrize(
    ("needs", "longest"),
    [
        ([need(activations=4 * (FREE - 3 - LEAST_WORKSPACE_MIB))], 50),  # building
        ([need("a", activations=FREE - 2), need("b", activations=FREE - 2)], 100),  # running, but for building
        ([need(stored=4096)], 0),
        ([need(engine=4096)], 0),
        ([need()], 200),
    ],
)
def test_the_longest_segment_that_fits(needs: list[Need], longest: int) -> None:
    found = budget(*needs)
    assert found.longest(1) == longest
    assert found.longest(8) == longest // 8 * 8
    assert found.fits == (longest == 200)
    assert found.fit(1).frames == longest
    shorter = [replace(each, activations=each.activations * longest // 200) for each in needs]
    assert not longest or budget(*shorter, frames=longest).fits


def test_the_arithmetic_adds_up() -> None:
    told = budget(need("synthesizer", 111, 56, 93), need("content", 9, 5, 7)).fit(1).arithmetic
    assert told == (
        f"memory in MiB for 200 frames on board, estimated: building synthesizer: {SYSTEM_MIB} system + "
        f"{LIBRARIES_MIB} libraries + 111 ONNX weights + 2 * 56 engine weights + 93 activations + 1024 workspace "
        f"= {BASE + 1340}; running: {SYSTEM_MIB} system + {LIBRARIES_MIB} libraries + "
        f"synthesizer (56 weights + 93 activations) + content (5 weights + 7 activations) = {BASE + 161}; of 4096"
    )


def test_there_is_none_without_a_memory() -> None:
    assert budget_of([chain()], BARE, 10) is None
    found = budget_of([chain()], BOARD, 10)
    assert found is not None
    assert found.fits
    assert found.frames == 10


@pytest.mark.parametrize("name", [name for name in load_targets() if name.startswith("jetson-")])
def test_boards_have_a_memory_and_peaks(name: str) -> None:
    board = load_targets()[name]
    fit = TensorRTBackend().fit([chain()], board, 10, 1)
    assert fit is not None
    assert fit.frames == 10
    assert f"of {board.memory_mib}" in fit.arithmetic
    assert board.peaks is not None
    assert ("int8" in board.peaks.rates) == ("int8" in board.precisions)
    assert TensorRTBackend().fit([chain()], load_targets()["tensorrt"], 10, 1) is None
