"""The random draws of a network: which operators they are, and how to replay recorded ones in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

GAUSSIAN_DRAWS = frozenset({aten.randn_like.default, aten.randn.default})
OTHER_DRAWS = frozenset(
    {
        aten.rand_like.default,
        aten.rand.default,
        aten.bernoulli.p,
        aten.randint.low,
        aten.randint_like.low_dtype,
        aten.normal_functional.default,
        aten.native_dropout.default,
    }
)


class ReplayNoise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives recorded tensors to a network in the order in which it draws Gaussian noise."""

    def __init__(self, draws: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left = list(draws)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in GAUSSIAN_DRAWS:
            return self.left.pop(0)
        return func(*args, **(kwargs or {}))
