"""The 48 Hz high-pass that RVC puts before everything, without delay and without holding the whole signal.

RVC runs a fifth-order Butterworth filter forwards and backwards over the whole recording (`scipy.signal.filtfilt`). Its
slowest pole decays by half in 119 samples, so the backward run may start LOOKAHEAD samples after a block instead of at
the end of the recording: what that leaves out is below 1e-20 of the signal.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from voxc.compiler.audio.sound import CONTENT_RATE
from voxc.compiler.core.tensor import Array

ORDER = 5
CUTOFF = 48.0  # Hz
EXTENSION = 3 * (ORDER + 1)  # samples by which filtfilt prolongs a signal at each end, turned about its end point
LOOKAHEAD = 8_192
BLOCK = 1 << 16
NOTHING = np.zeros(0, np.float32)


class ZeroPhaseHighPass:
    """Filters a stream at 16 kHz; what comes out, in sum, is as long as what went in and equals filtfilt's result.

    Second-order sections in float64: the direct form loses half of the digits with poles this close to 1.
    """

    def __init__(self) -> None:
        self.sections = signal.butter(ORDER, CUTOFF, "high", fs=CONTENT_RATE, output="sos")
        self.steady = signal.sosfilt_zi(self.sections)
        self.state: Array | None = None  # of the forward run, once it has begun
        self.head = NOTHING  # what came before that
        self.tail = NOTHING  # the last samples that came
        self.waiting = NOTHING  # for the backward run
        self.surplus = 0  # samples that wait but were not given: those before the beginning

    def push(self, block: Array) -> Array:
        """float [n] -> float32 [m], the next of the filtered samples."""
        self.tail = np.concatenate([self.tail, block])[-EXTENSION - 1 :]
        if self.state is not None:
            self.forward(block)
        else:
            self.head = np.concatenate([self.head, block])
            if len(self.head) > EXTENSION:
                self.begin()
        return self.backward(LOOKAHEAD) if len(self.waiting) >= BLOCK + LOOKAHEAD else NOTHING

    def finish(self) -> Array:
        """The rest."""
        if not len(self.tail):
            return NOTHING
        if self.state is None:
            self.begin()
        after = 2 * self.tail[-1] - self.tail[-2::-1]
        self.forward(after)
        return self.backward(len(after))

    def begin(self) -> None:
        before = 2 * self.head[0] - self.head[EXTENSION:0:-1]
        self.surplus = len(before)
        prolonged = np.concatenate([before, self.head])
        self.state = self.steady * prolonged[0]
        self.forward(prolonged)

    def forward(self, block: Array) -> None:
        if len(block):
            filtered, self.state = signal.sosfilt(self.sections, block, zi=self.state)
            self.waiting = np.concatenate([self.waiting, filtered])

    def backward(self, keep: int) -> Array:
        """Runs backwards over all that waits and gives it, but for the last `keep` samples."""
        backwards = self.waiting[::-1]
        filtered, _ = signal.sosfilt(self.sections, backwards, zi=self.steady * backwards[0])
        end = len(filtered) - keep
        given = filtered[::-1][self.surplus : end].astype(np.float32)
        self.waiting = self.waiting[end:]
        self.surplus = 0
        return given
