"""Which layers become integers: the fastest choice that keeps the signal-to-noise ratio above a bound."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import Tensor

from voxc.compiler.precision.clocks import Clock
from voxc.compiler.precision.sensitivity import Sensitivity, Tick, measure_noise
from voxc.compiler.precision.subject import Damage, Subject, output_of

# A plan is tried on other inputs than those that measure the artifact, and PyTorch rounds otherwise than the runtime.
MARGIN_DB = 0.5
MOST_TRIALS = 10
LEAST_NOISE, MOST_NOISE = 1e-12, 1e12  # of a layer whose noise nobody can measure, or that gives no numbers


@dataclass(frozen=True)
class Trial:
    """A choice of layers and sums, and its damage on those of the inputs that it harms most."""

    chosen: frozenset[str]
    damage: Damage


@dataclass(frozen=True)
class Search:
    """What a search found: its layers, with their noise if that was needed, and the choices that were tried, the last
    of which is to be taken."""

    layers: tuple[Sensitivity, ...]
    trials: tuple[Trial, ...]


def search(
    subject: Subject, table: Sequence[Sensitivity], min_snr: float, clock: Clock, tick: Tick = lambda message: None
) -> Search:
    """Searches among the layers of `table`, which have their times; a noise that is None is measured where needed.

    First come all layers, and those that gain time by themselves; whichever is faster by the clock goes first, as a
    layer that loses by itself may still join what are integers on both sides of it. Only if neither keeps the bound
    does it matter what each layer costs: that takes the most time, and is measured then. Sums go back to floats, which
    costs little time. The noise of single layers adds up, but for a factor that every trial corrects, so the rest is a
    knapsack: those go that bring the most noise for the time they save, until the bound is kept. Where nothing keeps
    it, the last choice is empty.
    """
    expected = [output_of(subject.program, inputs) for inputs in subject.inputs]
    judge = Judge(subject, 10 ** (-(min_snr + MARGIN_DB) / 10), expected, tick, [])
    gaining = [layer for layer in table if layer.gain > 0]
    starts = [names(table), names(gaining)] if len(gaining) < len(table) else [names(table)]
    whole = [start | set(subject.sums) for start in starts]
    if any(judge.accepts(choice) for choice in dict.fromkeys([*clock.by_speed(subject, whole), *starts])):
        return Search(tuple(table), tuple(judge.trials))
    known = {each.node: each for each in measured(subject, gaining, tick)}
    table = [known.get(layer.node, layer) for layer in table]
    gaining = [layer for layer in table if layer.gain > 0]
    gaining.sort(key=lambda layer: noise(layer) / layer.gain)
    while gaining:
        factor = judge.trials[-1].damage.noise / sum(map(noise, gaining))
        excess = 2.0 ** max(0, len(judge.trials) - MOST_TRIALS)  # ends in any case
        gaining = within(gaining, judge.bound / (factor * excess))
        if judge.accepts(names(gaining)):
            break
    return Search(tuple(table), tuple(judge.trials))


def measured(subject: Subject, layers: Sequence[Sensitivity], tick: Tick) -> Sequence[Sensitivity]:
    """Layers with their noise."""
    unknown = [layer for layer in layers if layer.noise is None]
    found = {layer.node: layer for layer in measure_noise(subject, unknown, tick)} if unknown else {}
    return [found.get(layer.node, layer) for layer in layers]


@dataclass(frozen=True)
class Judge:
    """Evaluates choices in PyTorch, and keeps what came of it. `bound` is noise power over signal power."""

    subject: Subject
    bound: float
    expected: Sequence[Tensor]
    tick: Tick
    trials: list[Trial]

    def accepts(self, chosen: frozenset[str]) -> bool:
        program, rate = self.subject.quantized(chosen), self.subject.audio_rate
        damages = [
            Damage.of(expected, output_of(program, inputs), rate)
            for expected, inputs in zip(self.expected, self.subject.inputs, strict=True)
        ]
        damage = max(damages, key=lambda each: each.noise)
        self.trials.append(Trial(chosen, damage))
        self.tick(f"trial {len(self.trials)}, {len(chosen)} nodes as integers at {damage.snr:.1f} dB")
        return damage.noise <= self.bound


def names(layers: Collection[Sensitivity]) -> frozenset[str]:
    return frozenset(layer.node for layer in layers)


def noise(layer: Sensitivity) -> float:
    assert layer.noise is not None, "measured before it is asked for"
    return min(max(layer.noise, LEAST_NOISE), MOST_NOISE)


def within(ordered: Sequence[Sensitivity], most: float) -> list[Sensitivity]:
    """Layers from the front on, but for those that would bring the sum of their noises above `most`; at least one less
    than there are."""
    taken: list[Sensitivity] = []
    total = 0.0
    for layer in ordered:
        if not total + noise(layer) > most:
            taken.append(layer)
            total += noise(layer)
    return taken[: len(ordered) - 1]
