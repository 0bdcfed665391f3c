"""The precision plan: for each node of a program, what it computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

Precision = Literal["fp32"]


class PrecisionPlan(BaseModel):
    """The single source of truth for what each node computes in; every backend lowers it in its own idiom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: Precision = "fp32"
    nodes: Mapping[str, Precision] = {}

    def precision(self, node: str) -> Precision:
        return self.nodes.get(node, self.default)

    def histogram(self, nodes: Iterable[str]) -> dict[str, int]:
        """How many of `nodes` compute in each precision."""
        return dict(sorted(Counter(self.precision(node) for node in nodes).items()))
