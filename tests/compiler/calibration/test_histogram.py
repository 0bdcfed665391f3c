from __future__ import annotations

import pytest
import torch

from voxc.compiler.calibration.histogram import Histogram


def test_large_tensors_are_sampled() -> None:
    """The extremes are those of all values; the counts stand for all, and are where they would be."""
    values = torch.randn(3, 1 << 20, generator=torch.Generator().manual_seed(0))
    values[1, 12345] = 77.0
    histogram = Histogram()
    histogram.observe(values)
    assert histogram.high == 77.0
    assert histogram.low == values.min().item()
    assert histogram.counts.sum() == pytest.approx(values.numel(), rel=1e-5)
    below = histogram.counts[histogram.edges[1:] <= 0].sum()
    assert below / values.numel() == pytest.approx((values < 0).float().mean().item(), abs=0.005)
