from __future__ import annotations

import torch
from torch.nn import functional as F

from voxc.compiler.families.rvc.frame_phase import gliding, gliding_phase, held_phase

HOP, RATE, FRAMES = 320, 32000, 3000  # 30 s


def contour() -> torch.Tensor:
    """Hz, float64 [1, T]: a glide that stops now and then."""
    time = torch.arange(FRAMES, dtype=torch.float64) / 100
    return (250 * 2 ** torch.sin(time) * (torch.sin(3 * time) > -0.7)).unsqueeze(0)


def off(phase: torch.Tensor, exact: torch.Tensor) -> float:
    """How far a phase is from another in cycles, whole ones aside."""
    difference = (phase.double() - exact + 0.5) % 1 - 0.5
    return float(difference.abs().max())


def test_held_phases_stay_in_tune() -> None:
    cycles = contour().unsqueeze(2) * torch.arange(1, 10) / RATE
    exact = cycles.repeat_interleave(HOP, dim=1).cumsum(1)
    assert off(held_phase(cycles, HOP), exact) < 1e-6
    assert off(held_phase(cycles.float(), HOP), exact) < 2e-3


def test_gliding_phases_stay_in_tune() -> None:
    cycles = contour() / RATE
    exact = F.interpolate(cycles.unsqueeze(1), scale_factor=HOP, mode="linear").squeeze(1).cumsum(1)
    assert off(gliding_phase(cycles, HOP), exact) < 1e-6
    assert off(gliding_phase(cycles.float(), HOP), exact) < 2e-3


def test_gliding_is_linear_interpolation() -> None:
    values = torch.randn(2, 3, 11, dtype=torch.float64)
    for hop in (2, 5, 8):
        expected = F.interpolate(values, scale_factor=hop, mode="linear")
        torch.testing.assert_close(gliding(values, hop), expected)
