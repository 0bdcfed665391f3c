from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.passes.harness import FRAMES, check_pass, component_of
from voxc.compiler.core.component import Component
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.compiler.families.rvc.generator import HarmonicSource
from voxc.passes.source.frame_rate_source_phase import FrameRateSourcePhase
from voxc.passes.source.hoist_noise import HoistNoise

HOP = 40
RATE = 4000
CUMSUM = torch.ops.aten.cumsum.default


class Tone(nn.Module):
    """A sine from frame-rate F0; the options make what only looks like one."""

    def __init__(self, turn: float = 2 * math.pi, offset: float = 0.0, smooth: bool = False) -> None:
        super().__init__()
        self.turn, self.offset, self.smooth = turn, offset, smooth

    def forward(self, x: Tensor) -> Tensor:
        cycles = x.abs() / HOP
        held = cycles.unsqueeze(-1).expand(*cycles.shape, HOP).reshape(cycles.shape[0], -1, 1)
        if self.smooth:
            held = torch.sigmoid(held)
        return torch.sin(torch.cumsum(held - self.offset, 1) * self.turn)


def source_component() -> Component:
    return component_of(HarmonicSource(RATE, HOP), (1, "T"), noise=((1, f"{HOP}*T", 1),))


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_source_of_rvc_is_summed_over_frames(target: Target, dynamic: bool) -> None:
    result = check_pass(
        FrameRateSourcePhase(), source_component(), target, fires=True, first=(HoistNoise(),), dynamic=dynamic
    )
    sums = [node for node in result.program.graph.nodes if node.target is CUMSUM]
    assert all(node.meta["val"].dim() == 2 for node in sums), "sums must run over frames"
    assert "once for every 40 samples" in result.notes[0]


def test_a_plain_tone_is_rewritten_too(target: Target) -> None:
    check_pass(FrameRateSourcePhase(), component_of(Tone(), (1, "T")), target, fires=True, dynamic=True)


@pytest.mark.parametrize(
    ("tone", "reason"),
    [
        (Tone(turn=3.0), "not 2*pi times"),
        (Tone(offset=0.25), "not a frame-rate signal"),
        (Tone(smooth=True), "not a frame-rate signal"),
    ],
    ids=["other angle", "fractional offset", "not held"],
)
def test_what_only_looks_like_a_phase_stays(target: Target, tone: Tone, reason: str) -> None:
    result = check_pass(FrameRateSourcePhase(), component_of(tone, (1, FRAMES)), target, fires=False)
    assert reason in result.notes[0]


@pytest.mark.parametrize("hertz", [443.17, 97.03])
def test_steady_pitch_does_not_drift(target: Target, hertz: float) -> None:
    """Half a minute of one pitch, where the rounding of a plain float32 sum always goes the same way."""
    frames, hop, rate = 3000, 400, 40000
    component = component_of(HarmonicSource(rate, hop), (1, frames), noise=((1, hop * frames, 1),))
    with torch.no_grad():
        component.module.l_linear.weight.fill_(1)  # type: ignore[union-attr, operator]
        component.module.l_linear.bias.fill_(0)  # type: ignore[union-attr, operator]
    program = HoistNoise()(export(component, {"T": frames}, dynamic=False), target).program
    program = FrameRateSourcePhase()(program, target).program
    f0 = torch.full((1, frames), hertz)
    found = program.run({"x0": f0, "noise0": torch.zeros(1, hop * frames, 1)})["y"].numpy().ravel()
    per_sample = np.float32(hertz) / np.float32(rate)
    samples = np.arange(1, hop * frames + 1)
    expected = np.tanh(0.1 * np.sin(2 * np.pi * np.float64(per_sample) * samples))
    assert snr_db(expected, found) > 115
    starts = np.cumsum(np.full(frames, per_sample * np.float32(hop) % 1, np.float32)) - per_sample * np.float32(hop) % 1
    plain = np.repeat(starts % 1, hop) + per_sample * np.tile(np.arange(1, hop + 1, dtype=np.float32), frames)
    assert snr_db(expected, np.tanh(0.1 * np.sin(2 * np.pi * plain))) < 30, "a plain sum would have done"
