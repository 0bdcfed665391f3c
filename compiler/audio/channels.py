"""Many channels into one."""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.errors import AudioError
from voxc.compiler.core.tensor import Array

LOUDEST = 1e6  # full scale 1; recordings in floats may exceed it, noise in a damaged file exceeds this
AUDIBLE = 1e-7  # mean square, -70 dB: what there is to tell channels by
CANCELLED = 1e-2  # share of the channels' power that their mean has, where they cancel each other out
CANCELLING = "its channels cancel each other out (one has the opposite polarity): the first one is taken alone"


class Mixer:
    """Brings the blocks of a recording to one channel: their mean, or the first one where that would be silence."""

    def __init__(self, name: str, rate: int, warnings: list[str]) -> None:
        """`name` and `rate` (Hz) are for messages; `warnings` gets what the listener has to know."""
        self.name, self.rate, self.warnings = name, rate, warnings
        self.start = 0
        self.first_alone: bool | None = None  # not known before something is heard

    def mix(self, block: Array) -> Array:
        """float [n] or [n, channels] -> float32 [n].

        Raises:
            AudioError: a sample is NaN, infinite or absurd.
        """
        block = block.reshape(len(block), -1)
        self.refuse_damage(block)
        self.start += len(block)
        mean: Array = block.mean(axis=1, dtype=np.float32)
        if block.shape[1] < 2:
            return mean
        if self.first_alone is None:
            power = float(np.square(block, dtype=np.float32).mean())
            if power < AUDIBLE:
                return mean
            self.first_alone = float(np.square(mean).mean()) < CANCELLED * power
            if self.first_alone:
                self.warnings.append(CANCELLING)
        return block[:, 0].astype(np.float32) if self.first_alone else mean

    def refuse_damage(self, block: Array) -> None:
        sound = (np.abs(block) <= LOUDEST).all(axis=1)  # false for NaN
        if sound.all():
            return
        first = int(np.argmin(sound))
        worst = block[first][np.argmax(~(np.abs(block[first]) <= LOUDEST))]
        place = self.start + first
        raise AudioError(
            f"{self.name}: sample {place} (at {place / self.rate:.3f} s) is {worst:g} where full scale is 1; "
            "the recording is damaged"
        )
