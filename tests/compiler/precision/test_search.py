from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.passes.harness import program_of
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.compiler.precision.clocks import Choice, Clock
from voxc.compiler.precision.search import MARGIN_DB, MOST_TRIALS, Trial, search, within
from voxc.compiler.precision.sensitivity import Sensitivity
from voxc.compiler.precision.subject import Subject

SAMPLES = 1000


class Pass(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


@dataclass(frozen=True)
class Noisy(Program):
    """A program whose output has as much noise as its integers bring."""

    harm: Mapping[str, float] = field(default_factory=dict)

    def run(self, tensors: Mapping[str, Tensor], watch: object = None) -> dict[str, Tensor]:
        power = sum(self.harm.get(name, 0.0) for name in self.plan.nodes)
        wave = tensors["x0"]
        return {"y": wave + math.sqrt(power) * wave.flip(-1)}


class Order(Clock):
    """Calls the largest choices the fastest, or the smallest."""

    def __init__(self, *, largest: bool = True) -> None:
        self.largest = largest

    def time(self, program: Program, node: object) -> None:
        return None

    def by_speed(self, subject: Subject, choices: Sequence[Choice]) -> list[Choice]:
        return sorted(choices, key=len, reverse=self.largest)


PROGRAM = program_of(Pass(), (1, SAMPLES))
WAVE = torch.sin(2 * torch.pi * 5 * torch.arange(SAMPLES) / SAMPLES)[None]


def subject_of(noise: Mapping[str, float], layers: Sequence[str], sums: Sequence[str] = ()) -> Subject:
    """A hand-made component: each of its integers brings so much noise, whatever the others do."""
    fields = {name: getattr(PROGRAM, name) for name in PROGRAM.__dataclass_fields__}
    program = Noisy(**fields, harm=noise)

    def precisions(chosen: Collection[str]) -> dict[str, str]:
        return dict.fromkeys(sorted(chosen), "int8")

    return Subject(program, tuple(layers), tuple(sums), precisions, lambda planned: planned, ({"x0": WAVE},),
                   None)  # fmt: skip


def row(name: str, noise: float, saved: float) -> Sensitivity:
    return Sensitivity(
        node=name, module=name, operator="conv", noise=noise, snr=None, log_mel=None, float_ms=10.0,
        int8_ms=10.0 - saved, macs=1, bytes_saved=0,
    )  # fmt: skip


def find(
    layers: Mapping[str, tuple[float, float]], min_snr: float, sums: Mapping[str, float] | None = None,
    factor: float = 1.0, clock: Clock | None = None,
) -> tuple[Trial, ...]:  # fmt: skip
    """The search over layers of (noise, milliseconds saved), of which the noise in company is `factor` times that."""
    alone = {name: noise for name, (noise, _) in layers.items()}
    together = {name: noise * factor for name, noise in alone.items()} | dict(sums or {})
    table = [row(name, *values) for name, values in layers.items()]
    return search(subject_of(together, list(layers), list(sums or {})), table, min_snr, clock or Order()).trials


def decibels(noise: float) -> float:
    return -10 * math.log10(noise)


LAYERS = {"a": (0.001, 4.0), "b": (0.002, 1.0), "c": (0.004, 8.0)}  # noise for a millisecond: .00025, .002, .0005


def test_everything_is_taken_where_the_bound_allows() -> None:
    (trial,) = find(LAYERS, 20, {"sum": 0.0001})
    assert trial.chosen == {"a", "b", "c", "sum"}
    assert trial.damage.snr == pytest.approx(decibels(0.0071), abs=1e-3)


def test_sums_go_first() -> None:
    trials = find(LAYERS, decibels(0.01), {"sum": 0.02})
    assert [trial.chosen for trial in trials] == [{"a", "b", "c", "sum"}, {"a", "b", "c"}]


def test_then_goes_what_brings_the_most_noise_for_its_time() -> None:
    trials = find(LAYERS, decibels(0.0051) - MARGIN_DB)
    assert trials[-1].chosen == {"a", "c"}, "b saves least for its noise, though c is noisier"
    trials = find(LAYERS, decibels(0.0045) - MARGIN_DB)
    assert trials[-1].chosen == {"a", "b"}, "c does not fit beside a, b does"


def test_the_noise_in_company_corrects_what_is_expected() -> None:
    """Together, layers harm four times as much as the sum of them."""
    trials = find(LAYERS, decibels(0.0201) - MARGIN_DB, factor=4)
    assert trials[-1].chosen == {"a", "c"}
    assert len(trials) == 2, "all of them, once as there are no sums, and what fits"


def test_a_margin_is_kept() -> None:
    assert find(LAYERS, decibels(0.007) - 0.9 * MARGIN_DB)[-1].chosen != {"a", "b", "c"}
    assert find(LAYERS, decibels(0.007) - 1.1 * MARGIN_DB)[-1].chosen == {"a", "b", "c"}


def test_a_bound_that_nothing_keeps_leaves_nothing() -> None:
    assert find(LAYERS, 90)[-1].chosen == frozenset()
    assert find(dict.fromkeys("abc", (math.inf, 1.0)), 10)[-1].chosen == frozenset()


def test_a_layer_that_gives_no_numbers_goes() -> None:
    """Alone; in company it does no harm, so that nothing can be foreseen."""
    layers = {"a": (0.001, 1.0), "b": (math.inf, 1.0)}
    table = [row(name, *values) for name, values in layers.items()]
    trials = search(subject_of({"a": 0.001, "b": 0.5}, "ab"), table, 20, Order()).trials
    assert trials[-1].chosen == {"a"}


@pytest.mark.parametrize(("largest", "expected"), [(True, {"a", "b", "c", "slow"}), (False, {"a", "b", "c"})])
def test_a_layer_that_loses_joins_where_the_whole_is_faster_with_it(*, largest: bool, expected: set[str]) -> None:
    (trial,) = find(LAYERS | {"slow": (0.0, -1.0)}, 15, clock=Order(largest=largest))
    assert trial.chosen == expected


def test_layers_that_lose_are_no_part_of_what_is_left() -> None:
    trials = find(LAYERS | {"slow": (0.0, -1.0)}, decibels(0.0051) - MARGIN_DB)
    assert trials[-1].chosen == {"a", "c"}


def test_the_worst_of_the_inputs_counts() -> None:
    table = [row("a", 0.001, 1.0)]
    subject = subject_of({"a": 0.001}, "a")
    loud = {"x0": WAVE + 3 * WAVE.flip(-1).roll(100, -1)}
    (trial,) = search(replace(subject, inputs=(subject.inputs[0], loud)), table, 10, Order()).trials
    subjects = [replace(subject, inputs=(each,)) for each in (*subject.inputs, loud)]
    alone = [search(each, table, 10, Order()).trials[0].damage.noise for each in subjects]
    assert trial.damage.noise == max(alone)


@settings(max_examples=40, deadline=None)
@given(
    layers=st.lists(
        st.tuples(st.sampled_from([0.0, 1e-15, 1e-3, 0.3, 1e6, math.inf]), st.floats(0.01, 9)), min_size=1, max_size=60
    ),
    factor=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
    floor=st.sampled_from([0.0, 1.0]),
    min_snr=st.floats(0.1, 100),
)
def test_it_always_ends(layers: list[tuple[float, float]], factor: float, floor: float, min_snr: float) -> None:
    """Whatever a layer does in company, even where nothing at all keeps the bound, in few trials; the last choice
    keeps the bound or is empty."""
    table = [row(str(place), *values) for place, values in enumerate(layers)]
    noise = {each.node: (each.noise if math.isfinite(each.noise) else 1e9) * factor + floor for each in table}
    trials = search(subject_of(noise, list(noise)), table, min_snr, Order()).trials
    assert len(trials) <= MOST_TRIALS + 60
    kept = trials[-1].damage.noise <= 10 ** (-(min_snr + MARGIN_DB) / 10)
    assert kept or not trials[-1].chosen
    assert np.isfinite([len(trial.chosen) for trial in trials]).all()


def test_what_is_taken_fits_and_is_always_less() -> None:
    rows = [row(name, noise, 1.0) for name, noise in (("a", 0.25), ("b", 0.5), ("c", 1.0))]
    assert [len(within(rows, most)) for most in (0.0, 0.25, 0.7, 0.75, 1e9, math.nan)] == [0, 1, 1, 2, 2, 2]


def test_a_small_one_is_taken_behind_one_that_does_not_fit() -> None:
    rows = [row(name, noise, 1.0) for name, noise in (("a", 0.25), ("b", 1.0), ("c", 0.25))]
    assert [layer.node for layer in within(rows, 0.6)] == ["a", "c"]


def test_a_plan_holds_what_was_chosen(target: Target) -> None:
    subject = subject_of({"a": 0.1}, "a")
    assert subject.planned(["a"]).plan == PrecisionPlan(nodes={"a": "int8"})
