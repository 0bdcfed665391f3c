"""Recurrent layers over [sequence, batch, features], step by step; all steps of one are a single operation, which is
rounded at its end.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from voxc.backends.coreml.interpret.call import Call, Lowerings

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
    "tanh": torch.tanh,
}


def activation(call: Call, parameter: str, default: str) -> Activation:
    name = call.text(parameter, default).lower()
    if name not in ACTIVATIONS:
        raise call.unsupported(f"the activation {name}")
    return ACTIVATIONS[name]


def sequence(call: Call, reverse: bool) -> list[Tensor]:
    """The inputs in the order in which they are read, [batch, features] each."""
    x = call.tensor("x")
    if x.dim() != 3 or not len(x):
        raise call.wrong(f"a sequence of shape {list(x.shape)}")
    return list(x.flip(0) if reverse else x)


def reversed_order(call: Call) -> bool:
    direction = call.text("direction", "forward")
    if direction not in ("forward", "reverse"):
        raise call.unsupported(f"the direction {direction}")
    return direction == "reverse"


def steps_of(call: Call, states: list[Tensor], reverse: bool) -> Tensor:
    """What a layer gives of its states: all in the order of the inputs, or the last, [steps, batch, hidden]."""
    if not call.flag("output_sequence"):
        return states[-1].unsqueeze(0)
    return torch.stack(states[::-1] if reverse else states)


def lstm(call: Call) -> list[Tensor]:
    """Gates are in the order input, forget, output, cell. Both directions have their states beside each other."""
    h, c = call.tensor("initial_h"), call.tensor("initial_c")
    direction = call.text("direction", "forward")
    if direction != "bidirectional":
        return lstm_direction(call, "", h, c, reversed_order(call))
    size = h.shape[-1] // 2
    there = lstm_direction(call, "", h[:, :size], c[:, :size], False)
    back = lstm_direction(call, "_back", h[:, size:], c[:, size:], True)
    return [torch.cat(pair, -1) for pair in zip(there, back, strict=True)]


def lstm_direction(call: Call, suffix: str, h: Tensor, c: Tensor, reverse: bool) -> list[Tensor]:
    inner = activation(call, "recurrent_activation", "sigmoid")
    cell, outer = activation(call, "cell_activation", "tanh"), activation(call, "activation", "tanh")
    ih, hh = call.tensor(f"weight_ih{suffix}"), call.tensor(f"weight_hh{suffix}")
    bias, peephole = call.optional(f"bias{suffix}"), call.optional(f"peephole{suffix}")
    limit = call.number("clip", float("inf"))
    peeps = torch.zeros(3, h.shape[-1]) if peephole is None else peephole.reshape(3, -1)
    states = []
    for x in sequence(call, reverse):
        i, f, o, z = (F.linear(x, ih, bias) + F.linear(h, hh)).chunk(4, -1)
        kept = inner(f + peeps[1] * c) * c + inner(i + peeps[0] * c) * cell(z.clamp(-limit, limit))
        h, c = inner(o + peeps[2] * kept) * outer(kept), kept
        states.append(h)
    return [steps_of(call, states, reverse), h, c]


def gru(call: Call) -> list[Tensor]:
    """Gates are in the order reset, output, update. The reset gate is on the state, or, with `reset_after`, on the
    product of the state with its weights and its bias. Source: GRULayerParams in NeuralNetwork.proto of coremltools.
    """
    inner, outer = activation(call, "recurrent_activation", "sigmoid"), activation(call, "activation", "tanh")
    ih, hh, h = call.tensor("weight_ih"), call.tensor("weight_hh"), call.tensor("initial_h")
    size = h.shape[-1]
    bias, input_bias = call.optional("bias"), call.optional("input_bias")
    reset, out, update = (torch.zeros(3 * size) if bias is None else bias).reshape(3, size)
    after, reverse = call.flag("reset_after"), reversed_order(call)
    of_reset, of_output, of_update = hh.reshape(3, size, size)
    states = []
    for x in sequence(call, reverse):
        to_reset, to_output, to_update = F.linear(x, ih, input_bias).chunk(3, -1)
        r = inner(to_reset + F.linear(h, of_reset, reset))
        z = inner(to_update + F.linear(h, of_update, update))
        fed = r * F.linear(h, of_output, out) if after else F.linear(r * h, of_output, out)
        h = (1 - z) * outer(to_output + fed) + z * h
        states.append(h)
    return [steps_of(call, states, reverse), h]


def rnn(call: Call) -> list[Tensor]:
    outer, reverse = activation(call, "activation", "tanh"), reversed_order(call)
    ih, hh, h = call.tensor("weight_ih"), call.tensor("weight_hh"), call.tensor("initial_h")
    bias = call.optional("bias")
    states = []
    for x in sequence(call, reverse):
        h = outer(F.linear(x, ih, bias) + F.linear(h, hh))
        states.append(h)
    return [steps_of(call, states, reverse), h]


TABLE: Lowerings = {"gru": gru, "lstm": lstm, "rnn": rnn}
