"""The precision plan: for each node of a program, what it computes in, and the ranges that integers have to cover."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

#: What a node computes in. `int8` has integer weights and activations, `w8` and `int4` integer weights alone, and
#: arithmetic of the target's own (`arithmetic` in targets.yaml); `fp16` is that arithmetic, and weights stored in fp16.
Precision = Literal["fp32", "fp16", "int8", "w8", "int4"]

#: What a whole network is asked to be in. `mixed` is attention in fp16, feed-forward and convolutions in int8; `auto`
#: is int8 wherever a search finds that it pays without breaking a bound on the quality.
Policy = Literal["fp32", "fp16", "int8", "w8", "int4", "mixed", "auto"]


def ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{low:g} to {high:g} is not a range")
    return bounds


#: The smallest and the largest value that is worth keeping.
Range = Annotated[tuple[float, float], AfterValidator(ordered)]


class PrecisionPlan(BaseModel):
    """The single source of truth for what each node computes in; every backend lowers it in its own idiom.

    `nodes` and `ranges` are by the name of a node in the graph that the target's passes leave; a range is of the tensor
    that the node gives (an input's, for a placeholder) and comes from calibration. Scales follow from ranges by the
    target's scheme. `notes` say what people should know about the choice.

    With `implicit`, int8 is what nodes *may* compute in: the graph stays in floats, the artifact has the scales beside
    it, and the runtime takes for each node what it times faster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: Precision = "fp32"
    nodes: Mapping[str, Precision] = {}
    ranges: Mapping[str, Range] = {}
    implicit: bool = False
    notes: tuple[str, ...] = ()

    def precision(self, node: str) -> Precision:
        return self.nodes.get(node, self.default)

    def computes_in_half(self, node: str) -> bool:
        """Whether a node computes in float16 on a target with that arithmetic: all but those that the plan keeps."""
        return self.precision(node) != "fp32"

    def is_written(self, node: str) -> bool:
        """Whether a node's integers are a part of the graph."""
        return self.precision(node) == "int8" and not self.implicit

    def histogram(self, nodes: Iterable[str]) -> dict[str, int]:
        """How many of `nodes` compute in each precision."""
        return dict(sorted(Counter(self.precision(node) for node in nodes).items()))
