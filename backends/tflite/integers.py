"""Calls that TFLite has integer kernels for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from voxc.backends.lowering.table import Lowering


@dataclass(frozen=True)
class InIntegers:
    """A lowering whose result is computed in integers where all operands are integers that stand for real numbers, and
    all users want such integers.

    `weights` is for calls whose constants are weights and biases; elsewhere a constant makes it a computation in
    float32.
    """

    lowering: Lowering
    weights: bool = False

    def __call__(self, *arguments: Any) -> Any:
        return self.lowering(*arguments)
