from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.passes.harness import Function, component_of, program_of, tensors_for
from voxc.compiler.core import ops  # noqa: F401, registers voxc's operators
from voxc.compiler.core.cost import Cost, costs, integer_figures
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.networks.recurrent import BidirectionalGru
from voxc.passes.simplify.unroll_recurrent import UnrollRecurrent

TARGETS = load_targets()
CPU = TARGETS["onnxruntime-cpu"]
HALF = CPU.model_copy(update={"arithmetic": "float16"})


def macs(program: Program, target: Target = CPU) -> int:
    return sum(each.macs for each in costs(program, target))


def by_name(program: Program, target: Target = CPU) -> dict[str, Cost]:
    return {each.name: each for each in costs(program, target)}


@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        (nn.Conv1d(6, 4, 3, stride=2, padding=1), [(1, 6, 20)]),
        (nn.Conv1d(6, 4, 5, groups=2, dilation=2), [(1, 6, 20)]),
        (nn.Conv2d(6, 6, (3, 2), groups=6), [(2, 6, 9, 7)]),
        (nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1), [(1, 6, 20)]),
        (nn.ConvTranspose1d(6, 4, 4, stride=2, groups=2), [(1, 6, 20)]),
        (nn.Linear(6, 5), [(3, 6)]),
        (nn.Linear(6, 5, bias=False), [(2, 7, 6)]),
        (Function(torch.matmul), [(2, 3, 4, 5), (2, 3, 5, 6)]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_macs_are_those_that_pytorch_counts(module: nn.Module, shapes: list[tuple[int, ...]]) -> None:
    component = component_of(module, *shapes)
    tensors = tensors_for(component)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        component.module(*(tensors[spec.name] for spec in component.inputs))
    assert macs(program_of(module, *shapes)) == counter.get_total_flops() // 2 > 0


def test_a_recurrent_layer_counts_as_its_steps() -> None:
    component = component_of(BidirectionalGru(6, 4, 1), (2, 7, 6))
    whole = export(component, {"T": 1}, dynamic=False)
    steps = UnrollRecurrent()(whole, CPU.model_copy(update={"recurrent": False})).program
    assert macs(whole) == macs(steps) == 2 * 2 * 7 * 12 * (6 + 4)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_channels_last_counts_as_channels_first(transposed: bool, groups: int) -> None:
    def call(x: Tensor) -> Tensor:
        weight = torch.ones(4, 3, 6 // groups)
        return torch.ops.voxc.conv_channels_last(x, weight, None, [2], [1], [1], transposed, [0], groups)

    first = nn.ConvTranspose1d if transposed else nn.Conv1d
    expected = macs(program_of(first(6, 4, 3, stride=2, padding=1, groups=groups), (1, 6, 20)))
    assert macs(program_of(Function(call), (1, 20, 6))) == expected


def test_matrices_on_the_channels() -> None:
    program = program_of(Function(torch.ops.voxc.matmul_channels), (1, 3, 2, 5), (1, 5, 2, 7))
    assert macs(program) == 3 * 2 * 5 * 7


def test_bytes_are_what_is_read_and_written() -> None:
    program = program_of(nn.Conv1d(6, 4, 3, padding=1), (1, 6, 20))
    (convolution,) = costs(program, CPU)
    assert convolution.bytes == 4 * (6 * 20 + 4 * 6 * 3 + 4 + 4 * 20)
    assert convolution.arithmetic == "float32"


@pytest.mark.parametrize(
    ("precision", "target", "arithmetic", "weight", "activation"),
    [
        ("fp32", HALF, "float32", 4, 4),
        ("fp16", HALF, "float16", 2, 2),
        ("fp16", CPU, "float32", 2, 4),
        ("w8", CPU, "float32", 1, 4),
        ("w8", HALF.model_copy(update={"emulated": {"int8": "w8"}}), "float16", 2, 2),
        ("int4", HALF, "float16", 0.5, 2),
        ("int8", CPU, "int8", 1, 1),
    ],
)
def test_a_plan_says_how_wide_numbers_are(
    precision: str, target: Target, arithmetic: str, weight: float, activation: float
) -> None:
    program = program_of(nn.Conv1d(6, 4, 3, padding=1, bias=False), (1, 6, 20))
    plan = PrecisionPlan(nodes={"convolution": precision})  # type: ignore[dict-item]
    (found,) = costs(replace(program, plan=plan), target)
    assert (found.arithmetic, found.bytes) == (arithmetic, 4 * 6 * 3 * weight + (6 + 4) * 20 * activation)


def test_views_are_nothing_and_slices_only_what_they_take() -> None:
    program = program_of(Function(lambda x: x.view(2, 10).unsqueeze(0)[..., :3].exp()), (1, 20))
    found = by_name(program)
    assert set(found) == {"slice_1", "exp"}
    assert found["slice_1"].bytes == found["exp"].bytes == 2 * 4 * 6


def test_all_parts_of_a_split_are_written() -> None:
    found = by_name(program_of(Function(lambda x: torch.cat(x.split([5, 15], -1)[::-1], -1)), (1, 20)))
    assert found["split_with_sizes"].bytes == found["cat"].bytes == 2 * 4 * 20


def test_numbers_that_are_no_floats_keep_their_width() -> None:
    program = program_of(Function(lambda x: (x > 0).sum(-1, keepdim=True)), (1, 20))
    plan = PrecisionPlan(default="fp16")
    assert by_name(replace(program, plan=plan), HALF)["gt"].bytes == 20 * 2 + 20


def test_symbolic_sizes_count_as_in_the_example() -> None:
    component = component_of(nn.Conv1d(6, 4, 3, padding=1), (1, 6, "T"))
    assert costs(export(component, {"T": 12}, dynamic=True), CPU) == costs(
        export(component, {"T": 12}, dynamic=False), CPU
    )


def test_the_share_of_integers_is_that_of_products() -> None:
    """4 * 6 * 3 and 2 * 4 * 1 weights, each at 20 places."""
    program = program_of(nn.Sequential(nn.Conv1d(6, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 2, 1)), (1, 6, 20))
    assert integer_figures(program) == {}
    first = next(node.name for node in program.graph.nodes if "convolution" in node.name)
    planned = replace(program, plan=PrecisionPlan(nodes={first: "int8"}))
    found = integer_figures(planned)["int8_macs"]
    assert found.value == pytest.approx(90)
    assert found.unit == "%"
    assert "has in int8, of 1.6e-06 G in all" in found.how
    allowed = replace(program, plan=PrecisionPlan(nodes={first: "int8"}, implicit=True))
    assert "allows int8" in integer_figures(allowed)["int8_macs"].how
