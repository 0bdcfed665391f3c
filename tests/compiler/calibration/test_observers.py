from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from voxc.compiler.calibration.histogram import BINS, Histogram, NotFiniteError
from voxc.compiler.calibration.observers import (
    OBSERVERS,
    Entropy,
    MeanSquaredError,
    Percentile,
    SymmetricMeanSquaredError,
)
from voxc.compiler.core.plan import Range


def gaussian(count: int = 100_000) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def with_outliers() -> Tensor:
    """A hundred thousand ordinary values, and four that an 8-bit grid cannot afford."""
    return torch.cat([gaussian(), torch.tensor([25.0, -18.0, 24.0, -19.0])])


def observed(name: str, values: Tensor, chunk: int = 9_999) -> Range:
    observer = OBSERVERS[name]()  # type: ignore[index]
    for part in values.split(chunk):
        observer.observe(part)
    return observer.range()


def error(values: Tensor, bounds: Range) -> float:
    """The mean square of what an affine 8-bit grid over `bounds` makes of the values."""
    low, high = bounds
    scale = (high - low) / 255
    zero = round(-low / scale)
    stored = (torch.round(values / scale) + zero).clamp(0, 255)
    return float(((stored - zero) * scale - values).square().mean())


def symmetric_error(values: Tensor, largest: float) -> float:
    """The same of a grid whose zero lies in the middle, and which ends 127 steps above it and 128 below."""
    scale = largest / 127
    return float(((values / scale).round().clamp(-128, 127) * scale - values).square().mean())


def test_symmetric_grids_clip_what_is_on_one_side_sooner() -> None:
    """Half of the grid lies idle there, so that steps are twice as coarse."""
    values = (gaussian() ** 3).relu()
    observers = MeanSquaredError(), SymmetricMeanSquaredError()
    for observer in observers:
        observer.observe(values)
    affine, symmetric = (observer.range() for observer in observers)
    assert symmetric[1] < 0.95 * affine[1]
    assert symmetric_error(values, symmetric[1]) < 0.98 * symmetric_error(values, affine[1])
    assert SymmetricMeanSquaredError().range() == (0, 0)


def test_minmax_is_exact() -> None:
    values = with_outliers()
    assert observed("minmax", values) == (values.min().item(), values.max().item()) == (-19.0, 25.0)


@pytest.mark.parametrize("name", ["percentile", "entropy", "mse"])
def test_outliers_are_clipped_for_the_good_of_the_others(name: str) -> None:
    bounds = observed(name, with_outliers())
    assert error(gaussian(), bounds) < 0.8 * error(gaussian(), observed("minmax", with_outliers()))
    assert -19 < bounds[0] < -2.5
    assert 2.5 < bounds[1] < 25


def test_mean_squared_error_weighs_outliers_against_the_others() -> None:
    values = with_outliers()
    found = error(values, observed("mse", values))
    assert all(found < 0.9 * error(values, observed(name, values)) for name in ("minmax", "percentile", "entropy"))


@pytest.mark.parametrize("name", OBSERVERS)
def test_ranges_contain_zero_and_never_exceed_what_was_seen(name: str) -> None:
    for values in (gaussian() + 10, gaussian() - 10, gaussian().relu(), with_outliers() * 1e-6, with_outliers() * 1e6):
        low, high = observed(name, values)
        assert min(0.0, values.min().item()) <= low <= 0 <= high <= max(0.0, values.max().item())


@pytest.mark.parametrize("name", OBSERVERS)
def test_zeros_alone_and_nothing_at_all(name: str) -> None:
    assert observed(name, torch.zeros(50)) == (0, 0)
    assert OBSERVERS[name]().range() == (0, 0)  # type: ignore[index]
    assert observed(name, torch.full((50,), 3.0))[1] == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_what_is_no_number_is_refused(name: str, bad: float) -> None:
    with pytest.raises(NotFiniteError, match="values from"):
        observed(name, torch.tensor([1.0, bad, 2.0]))


@pytest.mark.parametrize(
    "values",
    [
        gaussian(20_000),
        with_outliers()[-20_000:],
        torch.nn.functional.leaky_relu(3 * gaussian(20_000), 0.1),
        gaussian(20_000).relu(),
        gaussian(20_000) ** 3,
    ],
    ids=["gaussian", "outliers", "leaky", "relu", "heavy"],
)
def test_mean_squared_error_finds_the_best_of_all_ranges(values: Tensor) -> None:
    """No pair of ends on a grid of them is more than a little better; where zero has to lie in the middle, no end."""
    found = error(values, observed("mse", values))
    low, high = min(values.min().item(), 0.0), values.max().item()
    shares = np.geomspace(1, 0.1, 24)
    assert found <= 1.02 * min(error(values, (low * one, high * other)) for one in shares for other in shares)
    observer = SymmetricMeanSquaredError()
    observer.observe(values)
    largest = max(-low, high)
    reached = max(-observer.range()[0], observer.range()[1])
    best = min(symmetric_error(values, largest * share) for share in np.geomspace(1, 0.1, 200))
    assert symmetric_error(values, reached) <= 1.02 * best


def test_mean_squared_error_clips_the_sides_apart() -> None:
    values = torch.cat([gaussian(), torch.tensor([25.0, 25.0])])
    low, high = observed("mse", values)
    assert -4.6 < low < -3
    assert high < 25
    values = torch.cat([gaussian().abs(), torch.tensor([-0.5, -0.5])])  # hardly worth a fifth of the steps
    assert observed("mse", values)[0] > -0.45


def test_the_closed_form_is_the_error() -> None:
    observer = MeanSquaredError()
    values = with_outliers()
    observer.observe(values)
    ranges = np.array([[-19.0, 25.0], [-4.0, 4.0], [-1.0, 3.0]])
    expected = [error(values, (low, high)) * len(values) for low, high in ranges]
    assert observer.errors(ranges) == pytest.approx(expected, rel=0.02)


def test_percentile_cuts_its_share_at_each_end() -> None:
    values = torch.linspace(-1, 3, 1_000_001)
    observer = Percentile()
    observer.observe(values)
    cut = 4 * Percentile.SHARE / 2
    assert observer.range() == pytest.approx((-1 + cut, 3 - cut), abs=2 * observer.histogram.width)


def test_entropy_keeps_an_even_distribution_whole() -> None:
    assert observed("entropy", torch.linspace(-1, 1, 100_000)) == pytest.approx((-1, 1), abs=0.01)


def test_entropy_is_the_divergence_of_the_textbook_where_little_is_clipped() -> None:
    counts = np.histogram(gaussian().abs().numpy(), 400)[0].astype(float)
    size = 250
    clipped = np.append(counts[: size - 1], counts[size - 1 :].sum())
    levels = np.split(counts[:size], np.arange(1, 128) * size // 128)
    spread = np.concatenate([np.where(level > 0, level.sum() / max(1, (level > 0).sum()), 0) for level in levels])
    one, other = clipped / clipped.sum(), spread / spread.sum()
    expected = float((one * np.log(one / other)).sum())
    assert Entropy().divergence(counts, size) / clipped.sum() == pytest.approx(expected, rel=0.01)


def test_entropy_does_not_clip_all_of_a_distribution_away_from_zero() -> None:
    assert observed("entropy", gaussian() + 10)[1] > 12


def test_entropy_minds_no_padding() -> None:
    """Ten times as many zeros as values leave the threshold where it is."""
    values = gaussian().abs()
    padded = torch.cat([torch.zeros(1_000_000), values])
    assert observed("entropy", padded)[1] == pytest.approx(observed("entropy", values)[1], rel=0.15)


def test_histograms_grow_without_losing_a_count() -> None:
    histogram, values = Histogram(), torch.cat([1e-3 * gaussian(5_000), with_outliers()])
    for chunk in values.split(1_111):
        histogram.observe(chunk)
    at_once = Histogram()
    at_once.observe(values)
    assert (histogram.low, histogram.high) == (values.min().item(), values.max().item())
    assert (histogram.first, histogram.width) == (at_once.first, at_once.width)
    assert histogram.counts.sum() == at_once.counts.sum() == len(values)
    assert BINS / 2 - 2 <= len(histogram.counts) <= BINS
    expected, _ = np.histogram(values.numpy(), histogram.edges)
    for counts in (histogram.counts, at_once.counts):  # equal but for the rounding of values at the edges of bins
        assert np.abs(np.cumsum(counts - expected)).max() <= 3


def test_magnitudes_fold_both_signs() -> None:
    for values in ([1.0, -1.0, 2.5, -4.0], [1.0, 2.0], [-1.0, -2.0], [0.0]):
        histogram = Histogram()
        histogram.observe(torch.tensor(values))
        folded = histogram.magnitudes()
        assert folded.sum() == len(values)
        assert abs((len(folded) - 1) * histogram.width - max(map(abs, values))) <= histogram.width


def test_memory_is_that_of_the_bins() -> None:
    entropy = Entropy()
    for power in range(-20, 20):
        entropy.observe(10.0**power * gaussian(1_000))
    assert len(entropy.histogram.counts) <= BINS
    assert entropy.histogram.counts.sum() == 40_000
