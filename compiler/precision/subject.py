"""A component whose precision is being decided, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from voxc.compiler.core.fidelity import log_mel_distance, snr_db
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.program import Program

Values = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """The program that the target's passes leave, with the ranges of everything that may be quantized.

    `layers` and `sums` are the nodes that a search may choose from, in order: those with weights, and those that add
    what layers give. `precisions` says for a choice of them what every node computes in; a sum that is chosen computes
    on integers only between integers. `quantize` makes a program's plan part of its graph. `inputs` are what plans are
    tried on, `audio_rate` is in Hz where the output is audio.
    """

    program: Program
    layers: tuple[str, ...]
    sums: tuple[str, ...]
    precisions: Callable[[Collection[str]], Mapping[str, Precision]]
    quantize: Callable[[Program], Program]
    inputs: tuple[Mapping[str, Tensor], ...]
    audio_rate: int | None

    def planned(self, chosen: Collection[str]) -> Program:
        """The program whose plan has the chosen candidates as integers; not quantized yet."""
        plan = self.program.plan.model_copy(update={"nodes": dict(self.precisions(chosen))})
        return replace(self.program, plan=plan)

    def quantized(self, chosen: Collection[str]) -> Program:
        return self.quantize(self.planned(chosen))


@dataclass(frozen=True)
class Damage:
    """What quantization costs at the output: noise power over signal power, and mean log-mel distance for audio."""

    noise: float
    log_mel: float | None

    @classmethod
    def of(cls, expected: Tensor, found: Tensor, audio_rate: int | None) -> Damage:
        reference, output = expected.numpy(), found.numpy()
        noise = float(10 ** (-snr_db(reference, output) / 10))
        usable = audio_rate is not None and bool(np.isfinite(output).all())
        return cls(noise, log_mel_distance(reference, output, audio_rate) if usable and audio_rate else None)

    @property
    def snr(self) -> float:
        """In dB."""
        return float(-10 * np.log10(self.noise)) if self.noise > 0 else np.inf


def output_of(program: Program, inputs: Mapping[str, Tensor]) -> Tensor:
    """The program's one output."""
    (output,) = program.run(inputs).values()
    return output


class Walk:
    """Evaluates a program node by node, holding what is still needed, so that a variant of the program that is equal
    up to some node need not be evaluated from the start."""

    def __init__(self, program: Program, inputs: Mapping[str, Tensor]) -> None:
        self.program = program
        self.inputs = inputs
        self.values = given(program, inputs)
        self.done: set[str] = set()

    def steps(self) -> Iterator[fx.Node]:
        """Each call before it is evaluated; `values` then has what is alive."""
        with torch.inference_mode():
            for node in self.program.graph.nodes:
                if node.op == "call_function":
                    yield node
                    evaluate(node, self.values)
                self.done.add(node.name)

    def branch(self, variant: Program) -> Tensor:
        """The output of a variant that differs only in what this walk has not done yet."""
        values = given(variant, self.inputs) | self.values
        with torch.inference_mode():
            for node in variant.graph.nodes:
                if node.op == "call_function" and node.name not in self.done:
                    evaluate(node, values)
        (result,) = variant.results
        output: Tensor = values[result.name]
        return output


def given(program: Program, inputs: Mapping[str, Tensor]) -> Values:
    """The values of a program's placeholders: its weights, and `inputs` by the names of its specs."""
    exported, specs, keys = program.exported, iter(program.inputs), program.weight_keys
    tensors = {**exported.state_dict, **exported.constants}
    return {
        node.name: tensors[keys[node.name]] if node.name in keys else inputs[next(specs).name]
        for node in program.graph.nodes
        if node.op == "placeholder"
    }


def evaluate(node: fx.Node, values: Values) -> None:
    """Adds a call's value to `values` and drops those that nothing needs any more."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: values[source.name])
    values[node.name] = node.target(*args, **kwargs)  # type: ignore[operator]
    for source in node.all_input_nodes:
        if source.op == "call_function" and max(source.users) is node:
            del values[source.name]
