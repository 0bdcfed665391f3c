"""The axes that a component's tensors share: sizes that are chosen when it is compiled, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TIME = "T"  # frames of a segment
LEAST_OPEN = 2  # torch.export takes sizes of 0 and 1 for fixed
MAX_FRAMES = 1 << 16

#: How long each axis is, by its name.
Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Axis:
    """A size that a component is compiled for.

    `rate` is in frames a second where the axis is time, and None where it is not: then the axis is as long as `size`
    unless something else is requested. `least` and `most` bound it where it stays open.
    """

    name: str
    rate: float | None = None
    size: int | None = None
    least: int = LEAST_OPEN
    most: int = MAX_FRAMES


def time_axis(rate: float) -> Axis:
    """Frames of a segment, `rate` a second."""
    return Axis(TIME, rate)
