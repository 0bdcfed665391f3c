from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.compiler.precision.networks import subject_of, three
from tests.passes.harness import program_of
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.compiler.precision import subject as module
from voxc.compiler.precision.subject import Damage, Subject, Walk, evaluate, output_of


@pytest.fixture(scope="module")
def subject(target: Target) -> Subject:
    return subject_of(three(), target)


def branch(subject: Subject, variant: Program, name: str) -> Tensor:
    """A variant's output, evaluated from a node of the program on."""
    inputs = subject.inputs[0]
    walk = Walk(subject.program, inputs)
    (output,) = (walk.branch(variant) for node in walk.steps() if node.name == name)
    return output


@pytest.mark.parametrize("place", range(3))
def test_a_branch_gives_what_the_whole_variant_gives(subject: Subject, place: int) -> None:
    name = subject.layers[place]
    variant = subject.quantized([name])
    whole = output_of(variant, subject.inputs[0])
    assert torch.equal(branch(subject, variant, name), whole)
    assert not torch.equal(whole, output_of(subject.program, subject.inputs[0]))


def test_a_branch_evaluates_only_what_is_left(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    last = subject.layers[-1]
    variant = subject.quantized([last])
    inputs = subject.inputs[0]
    walk, evaluated = Walk(subject.program, inputs), list[str]()
    for node in walk.steps():
        if node.name == last:
            with monkeypatch.context() as patch:
                patch.setattr(
                    module, "evaluate", lambda each, values: (evaluated.append(each.name), evaluate(each, values))
                )
                walk.branch(variant)
    assert last in evaluated
    assert not walk.done.intersection(subject.layers[:-1]).intersection(evaluated)
    assert not set(evaluated).intersection(subject.sums)


def test_a_branch_has_to_start_at_the_first_change(subject: Subject) -> None:
    first, _, third = subject.layers
    both = subject.quantized([first, third])
    assert torch.equal(branch(subject, both, first), output_of(both, subject.inputs[0]))


def test_a_walk_goes_on_after_its_branches(subject: Subject) -> None:
    inputs = subject.inputs[0]
    walk, outputs = Walk(subject.program, inputs), []
    for node in walk.steps():
        if node.name in subject.layers:
            outputs.append(walk.branch(subject.program))
    expected = output_of(subject.program, inputs)
    assert len(outputs) == 3
    assert all(torch.equal(output, expected) for output in outputs)
    (result,) = subject.program.results
    assert torch.equal(walk.values[result.name], expected)


class Long(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        first, second = torch.split(x, [2, 2], 1)
        for _ in range(10):
            x = torch.cat([first, second], 1) * 1.5 + x
        return x


def test_a_walk_holds_only_what_is_needed() -> None:
    program = program_of(Long(), (1, 4, 5))
    inputs = {"x0": torch.randn(1, 4, 5)}
    walk = Walk(program, inputs)
    assert max(len(walk.values) for _ in walk.steps()) <= 6
    (result,) = program.results
    assert torch.equal(walk.values[result.name], output_of(program, inputs))


def test_chosen_layers_and_the_sum_between_them(subject: Subject) -> None:
    """A sum is an integer only between integers."""
    (total,) = subject.sums
    plan = subject.planned([*subject.layers, total]).plan
    assert {plan.precision(name) for name in (*subject.layers, total)} == {"int8"}
    assert plan.ranges == subject.program.plan.ranges
    plan = subject.planned([total, subject.layers[0]]).plan
    assert set(plan.nodes) == {subject.layers[0]}
    assert not subject.planned([]).plan.nodes


def test_damage_is_noise_over_signal() -> None:
    expected = torch.tensor([3.0, 5.0, 3.0, 5.0])  # a signal of 1 around 4
    damage = Damage.of(expected, expected + torch.tensor([0.1, 0.1, -0.1, 0.1]), None)
    assert damage.noise == pytest.approx(0.01, rel=1e-5)
    assert damage.snr == pytest.approx(20, rel=1e-5)
    assert damage.log_mel is None


def test_damage_of_audio_has_a_distance() -> None:
    time = torch.arange(4000) / 4000
    audio = torch.sin(2 * torch.pi * 440 * time)
    near, far = (Damage.of(audio, audio + level * torch.sin(2 * torch.pi * 900 * time), 4000) for level in (0.01, 0.5))
    assert near.log_mel is not None
    assert far.log_mel is not None
    assert 0 < near.log_mel < far.log_mel


def test_damage_at_its_extremes() -> None:
    audio = torch.sin(torch.arange(400.0))
    equal = Damage.of(audio, audio, 4000)
    assert (equal.noise, equal.snr, equal.log_mel) == (0, math.inf, 0)
    broken = Damage.of(audio, audio / 0, 4000)
    assert (broken.noise, broken.snr, broken.log_mel) == (math.inf, -math.inf, None)
