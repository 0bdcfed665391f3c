"""Which layers become integers: the fastest choice that keeps the signal-to-noise ratio above a bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxc.compiler.precision.sensitivity import Sensitivity, Tick
from voxc.compiler.precision.subject import Damage, Subject, output_of

# A plan is tried on other inputs than those that measure the artifact, and PyTorch rounds otherwise than the runtime.
MARGIN_DB = 0.5
MOST_TRIALS = 8
LEAST_NOISE = 1e-12  # of a layer whose noise nobody can measure


@dataclass(frozen=True)
class Trial:
    """A choice of layers, evaluated."""

    chosen: frozenset[str]
    damage: Damage


def search(
    subject: Subject, table: Sequence[Sensitivity], min_snr: float, tick: Tick = lambda message: None
) -> tuple[Trial, ...]:
    """The choices that were tried, the last of which is to be taken.

    The first choice is everything that gains time, sums included. If that breaks the bound, sums go back to floats,
    which costs little time. The noise of single layers adds up, but for a factor that every trial corrects, so the
    rest is a knapsack: those go that bring the most noise for the time they save, until the bound is kept. Where
    nothing keeps it, the last choice is empty.
    """
    bound = 10 ** (-(min_snr + MARGIN_DB) / 10)
    expected = output_of(subject, subject.program)
    chosen = [layer for layer in table if layer.saved_ms > 0]
    chosen.sort(key=lambda layer: max(layer.noise, LEAST_NOISE) / layer.saved_ms)
    factor = 1.0
    trials: list[Trial] = []
    sums: tuple[str, ...] = subject.sums
    while True:
        names = frozenset([*(layer.node for layer in chosen), *(sums if chosen else ())])
        damage = Damage.of(expected, output_of(subject, subject.quantized(names)), subject.audio_rate)
        trials.append(Trial(names, damage))
        tick(f"trial {len(trials)}, {len(chosen)} of {len(table)} layers at {damage.snr:.1f} dB")
        if damage.noise <= bound or not names:
            return tuple(trials)
        if sums:
            sums = ()
            continue
        factor = damage.noise / sum(max(layer.noise, LEAST_NOISE) for layer in chosen)
        if len(trials) >= MOST_TRIALS:
            factor *= 2 ** (len(trials) - MOST_TRIALS + 1)  # ends in any case
        chosen = within(chosen, bound / factor)


def within(ordered: Sequence[Sensitivity], noise: float) -> list[Sensitivity]:
    """As many layers from the front as keep the sum of their noises, but at least one less than there are."""
    total = np.cumsum([max(layer.noise, LEAST_NOISE) for layer in ordered])
    return list(ordered[: min(int(np.searchsorted(total, noise, side="right")), len(ordered) - 1)])
