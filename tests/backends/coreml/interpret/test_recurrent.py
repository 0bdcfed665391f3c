from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.backends.coreml.interpret.harness import check, few, mb, normal, seeds
from voxc.compiler.core.tensor import Array

HIDDEN = 4


def reordered(tensor: Tensor) -> Array:
    """torch has the gates in the order input, forget, cell, output; Core ML has the cell last."""
    i, f, g, o = tensor.detach().chunk(4)
    return torch.cat([i, f, o, g]).numpy()


def lstm_weights(layer: nn.LSTM, torchs: str, suffix: str) -> dict[str, Array]:
    bias = getattr(layer, f"bias_ih_l0{torchs}") + getattr(layer, f"bias_hh_l0{torchs}")
    return {
        f"weight_ih{suffix}": reordered(getattr(layer, f"weight_ih_l0{torchs}")),
        f"weight_hh{suffix}": reordered(getattr(layer, f"weight_hh_l0{torchs}")),
        f"bias{suffix}": reordered(bias),
    }


@few
@given(seed=seeds, direction=st.sampled_from(["forward", "reverse", "bidirectional"]), everything=st.booleans())
def test_an_lstm_is_torchs(seed: int, direction: str, everything: bool) -> None:
    torch.manual_seed(seed)
    both = direction == "bidirectional"
    layer = nn.LSTM(3, HIDDEN, bidirectional=both)
    weights = lstm_weights(layer, "", "") | (lstm_weights(layer, "_reverse", "_back") if both else {})
    x, ways = normal(seed, 5, 2, 3), 2 if both else 1
    h, c = normal(seed + 1, ways, 2, HIDDEN), normal(seed + 2, ways, 2, HIDDEN)
    with torch.no_grad():
        states, (last_h, last_c) = layer(x.flip(0) if direction == "reverse" else x, (h, c))
    if direction == "reverse":
        states = states.flip(0)
    ends = [torch.cat(list(state), -1) for state in (last_h, last_c)]
    expected = states if everything else ends[0].unsqueeze(0)

    def build(a: object, b: object, c: object) -> object:
        return mb.lstm(x=a, initial_h=b, initial_c=c, direction=direction, output_sequence=everything, **weights)

    starts = [torch.cat(list(state), -1) for state in (h, c)]
    check(build, [expected, *ends], x, *starts)


@few
@given(seed=seeds, reverse=st.booleans())
def test_a_gru_with_its_reset_after_the_product_is_torchs(seed: int, reverse: bool) -> None:
    torch.manual_seed(seed)
    layer = nn.GRU(3, HIDDEN)

    def turned(tensor: Tensor) -> Array:
        reset, update, new = tensor.detach().chunk(3)
        return torch.cat([reset, new, update]).numpy()

    x, h = normal(seed, 5, 2, 3), normal(seed + 1, 1, 2, HIDDEN)
    with torch.no_grad():
        states, last = layer(x.flip(0) if reverse else x, h)
    weights = {
        "weight_ih": turned(layer.weight_ih_l0), "weight_hh": turned(layer.weight_hh_l0),
        "bias": turned(layer.bias_hh_l0), "input_bias": turned(layer.bias_ih_l0),
    }  # fmt: skip

    def build(a: object, b: object) -> object:
        direction = "reverse" if reverse else "forward"
        return mb.gru(x=a, initial_h=b, direction=direction, output_sequence=True, reset_after=True, **weights)

    check(build, [states.flip(0) if reverse else states, last[0]], x, h[0], opset="iOS18")


def test_a_gru_resets_the_state_before_the_product() -> None:
    x, h = normal(0, 1, 2, 3), normal(1, 2, HIDDEN)
    ih, hh, bias = normal(2, 3 * HIDDEN, 3), normal(3, 3 * HIDDEN, HIDDEN), normal(4, 3 * HIDDEN)
    reset, output, update = (x[0] @ ih.T + bias).chunk(3, -1)
    of_reset, of_output, of_update = hh.chunk(3)
    r, z = torch.sigmoid(reset + h @ of_reset.T), torch.sigmoid(update + h @ of_update.T)
    expected = (1 - z) * torch.tanh(output + (r * h) @ of_output.T) + z * h
    check(
        lambda a, b: mb.gru(
            x=a, initial_h=b, weight_ih=ih.numpy(), weight_hh=hh.numpy(), bias=bias.numpy(), output_sequence=True
        ),
        [expected[None], expected],
        x,
        h,
    )


@pytest.mark.parametrize("kind", ["tanh", "relu"])
def test_a_plain_recurrent_layer_is_torchs(kind: str) -> None:
    torch.manual_seed(0)
    layer = nn.RNN(3, HIDDEN, nonlinearity=kind)
    x, h = normal(0, 5, 2, 3), normal(1, 1, 2, HIDDEN)
    with torch.no_grad():
        states, last = layer(x, h)
    bias = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().numpy()

    def build(a: object, b: object) -> object:
        return mb.rnn(
            x=a, initial_h=b, weight_ih=layer.weight_ih_l0.detach().numpy(),
            weight_hh=layer.weight_hh_l0.detach().numpy(), bias=bias, output_sequence=True, activation=kind,
        )  # fmt: skip

    check(build, [states, last[0]], x, h[0])
