from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import check_pass, component_of
from voxc.compiler.core.target import Target, load_targets
from voxc.passes.base import PassResult
from voxc.passes.layout.ane_layout import AneLayout
from voxc.passes.layout.fold_width import FoldWidth
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
FIRST = (CleanUp(), AneLayout())
LENGTH = 400


def target(most: int | None) -> Target:
    update = {"layout": "ane", "work_items": None, "fold_width": most}
    return load_targets()["onnxruntime-cpu"].model_copy(update=update)


class Vocoder(nn.Module):
    """Two upsamplings, each with what a source adds at its rate, and a stack of dilated convolutions after each."""

    def __init__(self, rate: int = 2, taps: int = 3, dilation: int = 2, margin: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rate = rate
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(4, 4, rate + 2 * margin, stride=rate, padding=margin) for _ in range(2)
        )
        self.down = nn.ModuleList([nn.Conv1d(1, 4, 2 * rate + rate % 2, stride=rate, padding=(rate + 1) // 2),
                                   nn.Conv1d(1, 4, 1)])  # fmt: skip
        self.convs = nn.ModuleList(
            nn.Conv1d(4, 4, taps, padding=dilation * (taps - 1) // 2, dilation=dilation) for _ in range(4)
        )
        self.end = nn.Conv1d(4, 1, 7, padding=3)

    def forward(self, x: Tensor, source: Tensor, condition: Tensor) -> Tensor:
        for stage in range(2):
            x = self.ups[stage](F.leaky_relu(x + condition)) + self.down[stage](source)
            for conv in self.convs[2 * stage : 2 * stage + 2]:
                x = x + conv(F.leaky_relu(x))
        return torch.tanh(self.end(x))


def check(module: nn.Module, most: int | None, *shapes: tuple[int, ...], fires: bool = True) -> PassResult:
    return check_pass(FoldWidth(), component_of(module, *shapes), target(most), fires=fires, first=FIRST)


def widths(result: PassResult) -> dict[str, int]:
    """The longest operand or result of each kind of convolution's and activation's calls."""
    kinds = (aten.convolution.default, aten.leaky_relu.default, aten.tanh.default)
    found: dict[str, int] = {}
    for node in result.program.graph.nodes:
        if node.target in kinds:
            sizes = [each.meta["val"].shape[-1] for each in (node, node.all_input_nodes[0])]
            found[str(node.target)] = max(found.get(str(node.target), 0), *sizes)
    return found


def test_a_vocoder() -> None:
    result = check(Vocoder(), 600, (1, 4, LENGTH), (1, 1, 4 * LENGTH), (1, 4, 1))
    found = widths(result)
    assert found["aten.convolution.default"] <= 600
    assert found["aten.leaky_relu.default"] <= 600
    assert found["aten.tanh.default"] <= 600
    (note,) = result.notes
    assert "1600 samples as 3 rows of " in note
    rows = {node.meta["val"].shape[2:] for node in result.program.graph.nodes if node.target is aten.tanh.default}
    assert f"3 rows of {rows.pop()[1]}, overlapping by" in note


def test_calls_keep_their_names_at_every_length() -> None:
    def layers(length: int) -> list[str]:
        program = check(Vocoder(), 600, (1, 4, length), (1, 1, 4 * length), (1, 4, 1), fires=length > 150).program
        return [name for name in program.compute_nodes() if not name.startswith(("slice", "cat"))]

    assert layers(150) == layers(300) == layers(LENGTH)


@settings(max_examples=6, deadline=None)
@given(
    rate=st.integers(2, 4), taps=st.sampled_from([3, 5, 7]), dilation=st.integers(1, 3), margin=st.integers(0, 3),
    length=st.integers(200, 300), rows=st.floats(2.2, 4),
)  # fmt: skip
def test_rows_are_exact(rate: int, taps: int, dilation: int, margin: int, length: int, rows: float) -> None:
    module = Vocoder(rate, taps, dilation, margin)
    shapes = (1, 4, length), (1, 1, rate * rate * length), (1, 4, 1)
    component = component_of(module, *shapes)
    most = int(rate * rate * length / rows) + 1
    folding = FoldWidth(most_overlap=9.0)
    check_pass(folding, component, target(most), fires=True, first=FIRST)


class Plain(nn.Module):
    def __init__(self, function: Callable[[Tensor, nn.Module, nn.Module], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.up, self.conv = nn.ConvTranspose1d(1, 2, 4, stride=2, padding=1), nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.up, self.conv)


def test_what_is_not_local_sees_the_whole_signal() -> None:
    result = check(Plain(lambda x, up, conv: torch.cumsum(conv(up(x)), 2) * 0.01), 300, (1, 1, LENGTH))
    (total,) = (node for node in result.program.graph.nodes if node.target is aten.cumsum.default)
    assert total.meta["val"].shape[-1] == 2 * LENGTH


@pytest.mark.parametrize(
    ("most", "function"),
    [
        (None, lambda x, up, conv: conv(up(x))),
        (2 * LENGTH, lambda x, up, conv: conv(up(x))),
        (300, lambda x, up, conv: torch.tanh(x)),
    ],
    ids=["no limit", "short enough", "no upsampling"],
)
def test_signals_that_stay(most: int | None, function: Callable[..., Tensor]) -> None:
    check(Plain(function), most, (1, 1, LENGTH), fires=False)


def test_an_overlap_that_would_cost_too_much() -> None:
    (note,) = check(Vocoder(taps=7, dilation=3), 150, (1, 4, LENGTH), (1, 1, 4 * LENGTH), (1, 4, 1), fires=False).notes
    assert "stay one row" in note


def test_an_upsampling_that_gives_no_whole_multiple() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose1d(1, 2, 5, stride=2, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.up(x))

    check(Odd(), 300, (1, 1, LENGTH), fires=False)
