from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target
from voxc.passes.layout.channels_last import ChannelsLast
from voxc.passes.layout.sub_pixel_upsampling import CONVOLUTION, SubPixelUpsampling


class Upsampler(nn.Module):
    def __init__(self, kernel: int, stride: int, padding: int, **options: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.ConvTranspose1d(4, 6, kernel, stride, padding, **options)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(x))


@pytest.fixture
def channels_last(target: Target) -> Target:
    return target.model_copy(update={"layout": "channels_last", "sub_pixel": 2.0})


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(16, 10, 3), (4, 2, 1), (8, 4, 2), (12, 6, 3), (20, 10, 5), (3, 1, 1), (5, 5, 0)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_it_fires(channels_last: Target, kernel: int, stride: int, padding: int, bias: bool) -> None:
    component = component_of(Upsampler(kernel, stride, padding, bias=bias), (1, 4, "T"))
    result = check_pass(SubPixelUpsampling(), component, channels_last, fires=True, first=(ChannelsLast(),))
    (node,) = [node for node in result.program.graph.nodes if node.target is CONVOLUTION]
    assert node.args[6] is False
    assert result.notes == ("up: sub-pixel",)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Upsampler(7, 4, 2), "does not multiply the length"),
        (Upsampler(4, 2, 1, output_padding=1), "does not multiply the length"),
        (Upsampler(4, 2, 1, groups=2), "does not multiply the length"),
        (Upsampler(3, 2, 1, output_padding=1), "reaches further to one side"),
        (Upsampler(10, 8, 1), "24 taps in place of 10"),
    ],
)
def test_near_misses_stay(channels_last: Target, module: nn.Module, reason: str) -> None:
    component = component_of(module, (1, 4, "T"))
    result = check_pass(SubPixelUpsampling(), component, channels_last, fires=False, first=(ChannelsLast(),))
    assert reason in result.notes[0]


def test_a_target_may_not_want_it(channels_last: Target) -> None:
    component, never = (
        component_of(Upsampler(4, 2, 1), (1, 4, "T")),
        channels_last.model_copy(update={"sub_pixel": None}),
    )
    check_pass(SubPixelUpsampling(), component, never, fires=False, first=(ChannelsLast(),))
    thrifty = channels_last.model_copy(update={"sub_pixel": 1.4})
    result = check_pass(SubPixelUpsampling(), component, thrifty, fires=False, first=(ChannelsLast(),))
    assert result.notes == ("up: stays transposed: 6 taps in place of 4",)


def test_channels_first_stays(target: Target) -> None:
    component = component_of(Upsampler(4, 2, 1), (1, 4, "T"))
    result = check_pass(SubPixelUpsampling(), component, target, fires=False)
    assert calls(result.program, torch.ops.aten.convolution.default) == 1
