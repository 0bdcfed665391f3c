from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests.backends.coreml.interpret.harness import check, few, mb, normal, seeds

epsilons = st.sampled_from([1e-5, 1e-3, 0.1])


@few
@given(seed=seeds, axes=st.sampled_from([[2], [1, 2], [-1], [1], [0, 2], [-2]]), epsilon=epsilons)
def test_layer_norm_is_over_any_axes(seed: int, axes: list[int], epsilon: float) -> None:
    x = normal(seed, 2, 3, 4) * 3 + 1
    picked = sorted(axis % 3 for axis in axes)
    sizes = [x.shape[axis] for axis in picked]
    gamma, beta = normal(seed + 1, *sizes), normal(seed + 2, *sizes)
    last = [axis for axis in range(3) if axis not in picked] + picked
    moved = F.layer_norm(x.permute(last), sizes, gamma, beta, epsilon)
    expected = moved.permute([last.index(axis) for axis in range(3)])
    check(lambda a: mb.layer_norm(x=a, axes=axes, gamma=gamma.numpy(), beta=beta.numpy(), epsilon=epsilon), expected, x)


def test_layer_norm_without_weights_in_float16_computes_in_float32() -> None:
    x = (normal(0, 2, 512) * 50).half()
    expected = F.layer_norm(x.float(), [512], eps=float(torch.tensor(1e-5).half())).half()
    check(lambda a: mb.layer_norm(x=a, axes=[-1], epsilon=torch.tensor(1e-5).half().numpy()), expected, x, tolerance=0)


@few
@given(seed=seeds, rank=st.integers(3, 5), epsilon=epsilons)
def test_batch_norm_has_its_statistics(seed: int, rank: int, epsilon: float) -> None:
    x = normal(seed, 2, 3, *[4] * (rank - 2))
    mean, variance, gamma, beta = (normal(seed + place, 3) for place in range(1, 5))
    variance = variance.abs() + 0.1
    expected = F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)

    def build(a: object) -> object:
        return mb.batch_norm(
            x=a, mean=mean.numpy(), variance=variance.numpy(), gamma=gamma.numpy(), beta=beta.numpy(), epsilon=epsilon
        )

    check(build, expected, x, tolerance=1e-4)


@few
@given(seed=seeds, rank=st.integers(3, 4), epsilon=epsilons)
def test_instance_norm_is_over_what_follows_the_channels(seed: int, rank: int, epsilon: float) -> None:
    x = normal(seed, 2, 3, *[5] * (rank - 2))
    gamma, beta = normal(seed + 1, 3), normal(seed + 2, 3)
    expected = F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon)
    check(
        lambda a: mb.instance_norm(x=a, gamma=gamma.numpy(), beta=beta.numpy(), epsilon=epsilon),
        expected,
        x,
        tolerance=1e-4,
    )


@few
@given(seed=seeds, rank=st.integers(3, 5))
def test_l2_norm_is_over_the_last_three_axes(seed: int, rank: int) -> None:
    x = normal(seed, *[3] * rank)
    length: Tensor = (x.square().sum((-3, -2, -1), keepdim=True) + 1e-6).sqrt()
    check(lambda a: mb.l2_norm(x=a), x / length, x)


@few
@given(seed=seeds, size=st.sampled_from([1, 3, 5]), alpha=st.floats(1e-4, 0.5), beta=st.floats(0.5, 1.5))
def test_local_response_norm_is_torchs(seed: int, size: int, alpha: float, beta: float) -> None:
    x = normal(seed, 2, 7, 4, 3)
    expected = F.local_response_norm(x, size, alpha, beta, 2.0)
    check(lambda a: mb.local_response_norm(x=a, size=size, alpha=alpha, beta=beta, k=2.0), expected, x)
