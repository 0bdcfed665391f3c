"""A long signal as overlapped rows: where they start, and which part of each is its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

aten = torch.ops.aten

#: Each sample of the result depends on one place of the operands.
ELEMENTWISE = frozenset(
    {
        aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.leaky_relu.default, aten.relu.default,
        aten.tanh.default, aten.sigmoid.default,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """`count` windows of `width` samples of a signal of `length`, from `starts`; `step` samples of each are its own.

    Neighbours overlap by `halo` samples, those at the edge of a row that may be wrong.
    """

    length: int
    count: int
    step: int
    width: int
    halo: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, length: int, count: int, halo: int) -> Rows:
        step = -(-length // count)
        width = min(length, step + min(count - 1, 2) * halo)  # an inner row has a neighbour on both sides
        starts = tuple(min(max(row * step - halo, 0), length - width) for row in range(count))
        return cls(length, count, step, width, halo, starts)

    def own(self, times: int = 1) -> Iterator[tuple[int, int]]:
        """First and last place, in each row, of its own samples, in a signal that has `times` as many."""
        for row, start in enumerate(self.starts):
            first = row * self.step
            end = min(first + self.step, self.length)
            yield times * (first - start), times * (end - start)
