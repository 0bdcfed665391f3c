"""Audio on its way into a metric: checked, cut into pieces of bounded length, resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from voxc.compiler.core.errors import QualityError
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.needs import load

Piece = TypeVar("Piece")

SPEECH_RATE = 16000  # Hz, what every metric but SNR and log-mel distance takes
#: Audio is measured in pieces of at most PIECE_SECONDS, the length that PESQ (ITU-T P.862, 8 to 12 s) and DNSMOS
#: (9.01 s) are made for. Of longer audio than MOST_PIECES of them, that many are taken, evenly spread.
PIECE_SECONDS = 10.0
MOST_PIECES = 6
LEAST_SECONDS = 0.5
SILENCE = 1e-4  # peak, full scale: -80 dB
#: Durations may differ by padding; audio that ends this much earlier than its partner is not the same utterance.
LEAST_OVERLAP = 0.5
WORTH_MENTIONING_SECONDS = 0.1


class Unmeasurable(QualityError):
    """The audio lacks what a metric needs. Becomes a figure without a number, and the message its reason."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording: `name` for messages, `samples` [n] float32 (mono, any shape is flattened), `rate` in Hz."""

    name: str
    samples: Array
    rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", np.asarray(self.samples, np.float32).ravel())

    @property
    def seconds(self) -> float:
        return self.samples.size / self.rate

    def check_finite(self) -> None:
        """Raises Unmeasurable for audio that is empty or not finite."""
        if self.samples.size == 0:
            raise Unmeasurable(f"{self.name} is empty")
        if not np.isfinite(self.samples).all():
            raise Unmeasurable(f"{self.name} holds samples that are not finite")

    def check(self) -> None:
        """The same, and for audio that is short or silent."""
        self.check_finite()
        if self.seconds < LEAST_SECONDS:
            raise Unmeasurable(f"{self.name} is {self.seconds:.3g} s long, shorter than {LEAST_SECONDS:g} s")
        if is_silent(self.samples):
            raise Unmeasurable(f"{self.name} is silent")

    def piece(self, start: float, end: float) -> Array:
        """The samples from `start` to `end`, both in seconds."""
        return self.samples[round(start * self.rate) : round(end * self.rate)]

    def speech(self, start: float, end: float) -> Array:
        """The same, at 16 kHz and within full scale."""
        piece = self.piece(start, end)
        if self.rate != SPEECH_RATE:
            piece = load("soxr").resample(piece, self.rate, SPEECH_RATE, quality="HQ")
        return np.clip(piece, -1, 1)


def is_silent(samples: Array) -> bool:
    return bool(np.abs(samples).max(initial=0) < SILENCE)


def spans(seconds: float) -> list[tuple[float, float]]:
    """Start and end, in seconds, of the pieces of a recording: equally long, side by side or evenly spread."""
    count = min(max(1, math.ceil(seconds / PIECE_SECONDS)), MOST_PIECES)
    length = min(seconds / count, PIECE_SECONDS)
    step = (seconds - length) / max(1, count - 1)
    return [(i * step, i * step + length) for i in range(count)]


def speech_pieces(clip: Clip) -> list[Array]:
    """The pieces of a recording at 16 kHz, silent ones left out."""
    clip.check()
    pieces = [piece for span in spans(clip.seconds) if not is_silent(piece := clip.speech(*span))]
    if not pieces:
        raise Unmeasurable(f"{clip.name} is silent in all measured pieces")
    return pieces


def common_seconds(reference: Clip, candidate: Clip) -> float:
    """How long the shorter of two recordings of one utterance is.

    Raises:
        Unmeasurable: it is so much shorter that the two cannot be of one utterance.
    """
    shorter, longer = sorted((reference.seconds, candidate.seconds))
    if shorter < LEAST_OVERLAP * longer:
        lengths = f"{reference.name} is {reference.seconds:.2f} s long and {candidate.name} {candidate.seconds:.2f} s"
        raise Unmeasurable(f"{lengths}: too different to compare")
    return shorter


def speech_pairs(reference: Clip, candidate: Clip) -> list[tuple[Array, Array]]:
    """The pieces of two recordings at 16 kHz, equally long, without those where the reference is silent."""
    reference.check()
    candidate.check()
    pairs = []
    for span in spans(common_seconds(reference, candidate)):
        first, second = reference.speech(*span), candidate.speech(*span)
        length = min(first.size, second.size)
        if not is_silent(first):
            pairs.append((first[:length], second[:length]))
    if not pairs:
        raise Unmeasurable(f"{reference.name} is silent in all measured pieces")
    return pairs


def raw_pieces(reference: Clip, candidate: Clip) -> tuple[Array, Array]:
    """The pieces [pieces, samples] of two recordings of one rate, as they are."""
    for clip in (reference, candidate):
        clip.check_finite()
    cut = spans(common_seconds(reference, candidate))
    samples = min(reference.piece(*span).size for span in cut)
    first, second = (np.stack([clip.piece(*span)[:samples] for span in cut]) for clip in (reference, candidate))
    return first, second


def measured_span(*clips: Clip) -> str:
    """The measured part of the recordings, for a figure's `how`; empty if it is all of them."""
    common = min(clip.seconds for clip in clips)
    used = sum(end - start for start, end in spans(common))
    longest = max(clip.seconds for clip in clips)
    if longest - used < WORTH_MENTIONING_SECONDS:
        return ""
    if common - used < WORTH_MENTIONING_SECONDS:
        return f", over the first {used:.2f} s, which both have"
    return f", over {MOST_PIECES} pieces of {PIECE_SECONDS:g} s, evenly spread over {common:.1f} s"


def mean_over(pieces: Iterable[Piece], metric: Callable[[Piece], float]) -> float:
    """The mean of a metric over the pieces that have what it needs.

    Raises:
        Unmeasurable: none has; the reason is the first piece's.
    """
    values, reasons = [], []
    for piece in pieces:
        try:
            values.append(metric(piece))
        except Unmeasurable as error:
            reasons.append(error)
    if not values:
        raise reasons[0]
    return float(np.mean(values))
