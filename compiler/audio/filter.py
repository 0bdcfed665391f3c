"""The 48 Hz high-pass that RVC puts before everything, without delay and without holding the whole signal.

RVC runs a fifth-order Butterworth filter forwards and backwards over the whole recording (`scipy.signal.filtfilt`).
Its slowest pole decays by half in 119 samples, so the backward run may start LOOKAHEAD samples after a block instead of
at the end of the recording: what that leaves out is below 1e-20 of the signal. SciPy's own filters would do; importing
them takes as long as converting a minute.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from voxc.compiler.audio.sound import CONTENT_RATE
from voxc.compiler.core.tensor import Array

ORDER = 5
CUTOFF = 48.0  # Hz
EXTENSION = 3 * (ORDER + 1)  # samples by which filtfilt prolongs a signal at each end, turned about its end point
LOOKAHEAD = 8_192
BLOCK = 1 << 16
STRIDE = 256  # samples that one matrix product filters
NOTHING = np.zeros(0, np.float32)


class HighPass:
    """A Butterworth filter of ORDER as x' = A x + B u, y = C x + u, whose five states are scaled integrators.

    The output of STRIDE samples is their product with the impulse response, and what the states before them add; so
    only the states go from one stride to the next. `steady` are the states [ORDER] after an endless input of 1.
    """

    def __init__(self) -> None:
        a, b, self.c, self.d = bilinear(*analog(2 * CONTENT_RATE * math.tan(math.pi * CUTOFF / CONTENT_RATE)))
        self.steady = np.linalg.solve(np.eye(ORDER) - a, b)
        powers = [np.eye(ORDER)]
        for _ in range(STRIDE):
            powers.append(powers[-1] @ a)
        self.powers = np.stack(powers)  # [STRIDE + 1, ORDER, ORDER]
        self.seen = self.powers[:-1].transpose(0, 2, 1) @ self.c  # what a state adds to the samples after it
        self.kept = self.powers[-2::-1] @ b  # what each sample of a stride leaves in the states after it
        response = np.concatenate([[self.d], self.seen[:-1] @ b])
        lags = np.subtract.outer(np.arange(STRIDE), np.arange(STRIDE))
        self.response = np.where(lags < 0, 0, response[lags]).T.copy()

    def run(self, block: Array, state: Array) -> tuple[Array, Array]:
        """float [n] and the states [ORDER] before it -> float64 [n] and the states after it."""
        strides, rest = divmod(len(block), STRIDE)
        padded = np.zeros((strides + 1, STRIDE))
        padded.reshape(-1)[: len(block)] = block
        left = padded @ self.kept
        states = np.empty((strides + 1, ORDER))
        for stride in range(strides):
            states[stride] = state
            state = self.powers[-1] @ state + left[stride]
        states[strides] = state
        result = padded @ self.response + states @ self.seen.T
        state = self.powers[rest] @ state + padded[strides, :rest] @ self.kept[STRIDE - rest :]
        return result.reshape(-1)[: len(block)], state


@cache
def high_pass() -> HighPass:
    return HighPass()


def analog(cutoff: float) -> tuple[Array, Array, Array]:
    """A [ORDER, ORDER], B and C [ORDER] of the filter for signals in continuous time, `cutoff` in radians a second.

    One section after the other: of order 1, y = u - x and x' = w y; of order 2, y = u - p - 2 z q, p' = w q and
    q' = w y, z being the damping.
    """
    a, c = np.zeros((ORDER, ORDER)), np.zeros(ORDER)
    b = np.full(ORDER, cutoff)
    c[0], a[0] = -1, cutoff * np.array([-1, 0, 0, 0, 0])
    for place, angle in ((1, math.pi / 5), (3, 2 * math.pi / 5)):
        c[place : place + 2] = -1, -2 * math.cos(angle)
        a[place, place + 1], b[place] = cutoff, 0
        a[place + 1] = cutoff * c
    return a, b, c


def bilinear(a: Array, b: Array, c: Array) -> tuple[Array, Array, Array, float]:
    """A, B, C and D of a filter with D = 1 at CONTENT_RATE, by the trapezoidal rule."""
    half, one = a / (2 * CONTENT_RATE), np.eye(len(a))
    step = np.linalg.inv(one - half)
    return step @ (one + half), step @ b / CONTENT_RATE, c @ step, 1 + float(c @ step @ b) / (2 * CONTENT_RATE)


class ZeroPhaseHighPass:
    """Filters a stream at 16 kHz; what comes out, in sum, is as long as what went in and equals filtfilt's result.

    In float64, with integrators as states: the direct form loses half of the digits with poles this close to 1.
    """

    def __init__(self) -> None:
        self.filter = high_pass()
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
        self.state = self.filter.steady * prolonged[0]
        self.forward(prolonged)

    def forward(self, block: Array) -> None:
        if self.state is not None and len(block):
            filtered, self.state = self.filter.run(block, self.state)
            self.waiting = np.concatenate([self.waiting, filtered])

    def backward(self, keep: int) -> Array:
        """Runs backwards over all that waits and gives it, but for the last `keep` samples."""
        backwards = self.waiting[::-1]
        filtered, _ = self.filter.run(backwards, self.filter.steady * backwards[0])
        end = len(filtered) - keep
        given = filtered[::-1][self.surplus : end].astype(np.float32)
        self.waiting = self.waiting[end:]
        self.surplus = 0
        return given
