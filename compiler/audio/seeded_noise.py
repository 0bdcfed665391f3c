"""The synthesizer's noise, as a function of the seed and the place in the recording alone.

Where windows overlap they get the same noise, and the result does not depend on how long the windows are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from voxc.compiler.core.axis import TIME
from voxc.compiler.core.tensor import Array, TensorSpec

BLOCK = 64  # frames drawn at a time


@dataclass(frozen=True)
class NoiseInput:
    """A noise input: its shape for a window, in which `axis` is time; None if it is the same for all windows."""

    name: str
    shape: tuple[int, ...]
    axis: int | None

    @classmethod
    def of(cls, spec: TensorSpec, frames: int) -> NoiseInput:
        """From the spec of a draw, [1, C, n*T] or [1, n*T, C]: time is the last axis of whole frames, if any is."""
        shape = spec.bound_shape({TIME: frames})
        return cls(spec.name, shape, max((axis for axis, size in enumerate(shape) if size % frames == 0), default=None))

    def draw(self, seed: int, stream: int, start: int, frames: int) -> Array:
        """Standard normal float32 of `shape` for a window of `frames` frames from `start` on, which may be negative.

        Each block of frames has a Philox generator (Salmon et al., 2011) of its own: its key is the seed and the
        number of this draw, `stream`, its counter begins with the block.
        """
        if self.axis is None:
            return draw_block(seed, stream, 0, math.prod(self.shape))[0].reshape(self.shape)
        first, last = start // BLOCK, (start + frames - 1) // BLOCK
        values = np.concatenate(
            [draw_block(seed, stream, block, math.prod(self.shape) // frames) for block in range(first, last + 1)]
        )
        others = self.shape[: self.axis] + self.shape[self.axis + 1 :]
        begin = start - first * BLOCK
        in_time = values[begin : begin + frames].reshape(self.shape[self.axis], *others)
        return np.ascontiguousarray(np.moveaxis(in_time, 0, self.axis))


def draw_block(seed: int, stream: int, block: int, values: int) -> Array:
    """float32 [BLOCK, values], a row for each frame."""
    key, counter = np.array([seed, stream], np.uint64), np.array([0, 0, 0, block % (1 << 64)], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).standard_normal((BLOCK, values), np.float32)
