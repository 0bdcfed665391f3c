"""F0 from networks that say of each frame how likely F0 is in each of many bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from voxc.compiler.audio.pitch import FRAME, STEP, Progress
from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array

WINDOW = 1024  # samples that a frame is from
CONTEXT = 64  # frames on each side of what is kept of a window


@dataclass(frozen=True)
class LocalMean:
    """F0 as RMVPE has it: the mean of the cents around the likeliest bin, weighted by their salience.

    `first` is bin 0 in cents above 10 Hz, and bins are 20 cents wide. A frame is unvoiced if no bin
    exceeds `threshold`.
    """

    first: float = 1997.3794084376191
    width: float = 20.0
    reach: int = 4  # bins on each side
    threshold: float = 0.03

    def hertz(self, salience: Array) -> Array:
        """Float32 [T, bins], 0 to 1 -> Hz, float64 [T], 0 where unvoiced."""
        around = np.argmax(salience, axis=1)[:, np.newaxis] + np.arange(2 * self.reach + 1)  # of bins that are padded
        weights = np.take_along_axis(np.pad(salience, ((0, 0), (self.reach, self.reach))), around, axis=1)
        cents = np.pad(self.first + self.width * np.arange(salience.shape[1]), self.reach)[around]
        total = weights.sum(axis=1, dtype=np.float64)
        voiced = salience.max(axis=1) > self.threshold
        mean = (weights * cents).sum(axis=1) / np.where(total > 0, total, 1)
        return np.where(voiced, 10 * 2 ** (mean / 1200), 0.0)


#: How the networks that a bundle may have give F0, by the names of their components.
DECODERS: Mapping[str, LocalMean] = {"rmvpe": LocalMean()}


@dataclass(frozen=True)
class NetworkEstimator:
    """An F0 network at work: `runner` takes 16 kHz audio of `frames` frames, and gives their salience.

    A recording that is longer is heard in windows. They overlap by CONTEXT frames on each side, or a quarter of
    short ones, so that what is kept has been heard with what surrounds it.
    """

    runner: Runner
    frames: int
    decoder: LocalMean

    def contour(self, audio: Scratch, first: int, count: int, progress: Progress) -> Array:
        context = min(CONTEXT, self.frames // 4)
        kept = self.frames - 2 * context
        hertz = np.zeros(count)
        for start in range(0, count, kept):
            begin = max(0, min(start - context, count - self.frames))
            part = self.window(audio, first + begin)
            end = min(start + kept, count)
            hertz[start:end] = part[start - begin : end - begin]
            progress(end * STEP, count * STEP)
        return hertz

    def window(self, audio: Scratch, start: int) -> Array:
        """F0 of the frames from `start` on, each from the samples around its place."""
        samples = audio.read(FRAME * start - WINDOW // 2, FRAME * self.frames + WINDOW - FRAME)
        salience = np.asarray(self.runner.hand_on({"audio": samples[np.newaxis]})["salience"])
        return self.decoder.hertz(salience[0].astype(np.float32, copy=False))
