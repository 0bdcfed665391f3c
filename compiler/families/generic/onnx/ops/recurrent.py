"""Recurrent layers, written out in time: every step is a few products, which every backend has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row

MAX_STEPS = 4096
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
}
#: Gates of each kind, and the activations that they have unless the file says otherwise.
KINDS = {"RNN": (1, ["Tanh"]), "GRU": (3, ["Sigmoid", "Tanh"]), "LSTM": (4, ["Sigmoid", "Tanh", "Tanh"])}


@dataclass(frozen=True)
class Layer:
    """One direction of a layer; `hidden` units, `bend` its activations."""

    kind: str
    hidden: int
    bend: tuple[Callable[[Tensor], Tensor], ...]
    reset_before: bool

    def step(self, x: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        """The state after one more x [B, gates * H], which the input's product and bias are part of."""
        return {"RNN": self.plain, "GRU": self.gated, "LSTM": self.long}[self.kind](x, state, weight, bias)

    def plain(self, x: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        return (self.bend[0](x + functional.linear(state[0], weight, bias)),)

    def gated(self, x: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        """Gates in ONNX's order: update, reset, hidden. The reset acts before or after the product."""
        hidden, size = state[0], self.hidden
        if self.reset_before:
            gates = functional.linear(hidden, weight[: 2 * size], None if bias is None else bias[: 2 * size])
            update, reset = (x[:, : 2 * size] + gates).chunk(2, 1)
            reset = self.bend[0](reset)
            last = functional.linear(reset * hidden, weight[2 * size :], None if bias is None else bias[2 * size :])
        else:
            gates = functional.linear(hidden, weight, bias)
            update, reset = (x[:, : 2 * size] + gates[:, : 2 * size]).chunk(2, 1)
            last = self.bend[0](reset) * gates[:, 2 * size :]
        update = self.bend[0](update)
        candidate = self.bend[1](x[:, 2 * size :] + last)
        return (candidate + update * (hidden - candidate),)

    def long(self, x: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        """Gates in ONNX's order: input, output, forget, cell."""
        hidden, cell = state
        gates = x + functional.linear(hidden, weight, bias)
        enter, leave, forget, new = gates.chunk(4, 1)
        cell = self.bend[0](forget) * cell + self.bend[0](enter) * self.bend[1](new)
        return self.bend[0](leave) * self.bend[2](cell), cell


def recurrent(call: Call) -> Function:
    gates, default = KINDS[call.op_type]
    directions = 2 if call.attribute("direction", "forward") == "bidirectional" else 1
    names = [name.decode() if isinstance(name, bytes) else name for name in call.attribute("activations", [])]
    names = names or default * directions
    check(call, names, len(default) * directions)
    bend = [ACTIVATIONS[name.lower()] for name in names]
    size = call.attribute("hidden_size", call.shape(2)[-1])
    each = len(default)
    layers = [
        Layer(
            call.op_type, size, tuple(bend[way * each : (way + 1) * each]), not call.attribute("linear_before_reset", 0)
        )
        for way in range(directions)
    ]
    backward = [call.attribute("direction", "forward") == "reverse", True][:directions]
    backward = backward if directions == 1 else [False, True]
    return unrolled(
        layers, backward, gates, states=2 if call.op_type == "LSTM" else 1, turned=bool(call.attribute("layout", 0))
    )


def check(call: Call, names: list[str], expected: int) -> None:
    time = call.shape()[1 if call.attribute("layout", 0) else 0]
    if time > MAX_STEPS:
        raise call.refuse(f"{time} steps in time; at most {MAX_STEPS} are written out, so choose a shorter segment")
    if len(names) != expected or any(name.lower() not in ACTIVATIONS for name in names):
        raise call.refuse(f"activations {', '.join(names)}; only {', '.join(ACTIVATIONS)} are supported")
    if call.attribute("clip") or call.attribute("input_forget", 0) or call.has(7):
        raise call.refuse("clip, input_forget and peepholes are not supported")
    if call.has(4) and any(length != time for length in call.integers(4, "lengths")):
        raise call.refuse("sequences shorter than the segment are not supported")


def unrolled(layers: list[Layer], backward: list[bool], gates: int, states: int, turned: bool) -> Function:
    """x [T, B, I], weights [D, gates * H, I] and [D, gates * H, H], bias [D, 2 * gates * H], states [D, B, H] give
    [T, D, B, H] and the last states. With `turned` the batch comes first everywhere."""

    def run(
        x: Tensor, inner: Tensor, weight: Tensor, bias: Tensor | None = None, _: object = None,
        *initial: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        x = x.transpose(0, 1) if turned else x
        outputs, finals = [], []
        for way, layer in enumerate(layers):
            zeros = x.new_zeros(x.shape[1], layer.hidden)
            state = tuple(
                zeros if place >= len(initial) or initial[place] is None else start(initial[place], way, turned)
                for place in range(states)
            )
            half = gates * layer.hidden
            inside = None if bias is None else bias[way, half:]
            projected = functional.linear(x, inner[way], None if bias is None else bias[way, :half])
            results = []
            for time in reversed(range(x.shape[0])) if backward[way] else range(x.shape[0]):
                state = layer.step(projected[time], state, weight[way], inside)
                results.append(state[0])
            outputs.append(torch.stack(results[::-1] if backward[way] else results))
            finals.append(state)
        whole = torch.stack(outputs, 1)
        ends = [torch.stack([final[place] for final in finals]) for place in range(states)]
        if turned:
            return (whole.permute(2, 0, 1, 3), *(end.transpose(0, 1) for end in ends))
        return (whole, *ends)

    return run


def start(initial: Tensor | None, way: int, turned: bool) -> Tensor:
    assert initial is not None
    return initial[:, way] if turned else initial[way]


ROWS: dict[str, Row] = dict.fromkeys(KINDS, recurrent)
