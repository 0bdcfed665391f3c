from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.backends.coreml.interpret.harness import check, few, mb, normal, seeds

PLAIN = {
    "relu": torch.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
}


@pytest.mark.parametrize("name", PLAIN)
@few
@given(seed=seeds)
def test_a_plain_activation_is_torchs(name: str, seed: int) -> None:
    x = 4 * normal(seed, 3, 20)
    check(lambda a: getattr(mb, name)(x=a), PLAIN[name](x), x)
    check(lambda a: getattr(mb, name)(x=a), PLAIN[name](x.half().float()).half(), x.half(), tolerance=1e-3)


@few
@given(seed=seeds, alpha=st.floats(-2, 2), beta=st.floats(0.1, 2))
def test_activations_take_their_constants_in_the_order_of_their_formulas(seed: int, alpha: float, beta: float) -> None:
    x = 4 * normal(seed, 2, 3, 5)
    check(lambda a: mb.leaky_relu(x=a, alpha=alpha), F.leaky_relu(x, alpha), x)
    check(lambda a: mb.elu(x=a, alpha=alpha), F.elu(x, alpha), x)
    check(lambda a: mb.thresholded_relu(x=a, alpha=alpha), torch.where(x >= alpha, x, 0), x)
    check(lambda a: mb.clamped_relu(x=a, alpha=alpha, beta=beta), F.leaky_relu(x, alpha).clamp(max=beta), x)
    check(lambda a: mb.linear_activation(x=a, alpha=alpha, beta=beta), alpha * x + beta, x)
    check(lambda a: mb.scaled_tanh(x=a, alpha=alpha, beta=beta), alpha * torch.tanh(beta * x), x)
    check(lambda a: mb.sigmoid_hard(x=a, alpha=alpha, beta=beta), (alpha * x + beta).clamp(0, 1), x)


@few
@given(seed=seeds)
def test_channels_have_constants_of_their_own(seed: int) -> None:
    x = normal(seed, 2, 3, 4, 5)
    alpha, beta = normal(seed + 1, 3).abs() + 0.1, normal(seed + 2, 3).abs() + 0.1
    check(lambda a: mb.prelu(x=a, alpha=alpha.numpy()), F.prelu(x, alpha), x)
    sizes = [3, 1, 1]
    check(
        lambda a: mb.softplus_parametric(x=a, alpha=alpha.numpy(), beta=beta.numpy()),
        alpha.reshape(sizes) * F.softplus(beta.reshape(sizes) * x),
        x,
    )


@few
@given(seed=seeds, axis=st.integers(-3, 2))
def test_softmax_is_over_one_axis(seed: int, axis: int) -> None:
    x = 5 * normal(seed, 2, 3, 7)
    check(lambda a: mb.softmax(x=a, axis=axis), torch.softmax(x, axis), x)


@pytest.mark.parametrize(
    ("mode", "function"),
    [
        ("EXACT", F.gelu),
        ("TANH_APPROXIMATION", lambda x: F.gelu(x, approximate="tanh")),
        ("SIGMOID_APPROXIMATION", lambda x: x * torch.sigmoid(1.702 * x)),
    ],
)
def test_gelu_has_three_modes(mode: str, function: object) -> None:
    x = 3 * normal(0, 100)
    check(lambda a: mb.gelu(x=a, mode=mode), function(x), x)  # type: ignore[operator]
