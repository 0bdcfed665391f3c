"""How a recording is cut into windows of one length, and how what comes of them is joined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxc.compiler.core.tensor import Array

# Frames of context on each side of what is kept, in windows that are long enough. Measured: a HuBERT's features are
# disturbed for the first 16 to 20 frames of a window, and no nearer to those of longer windows further inside; RVC's
# synthesizer recovers 4 frames after its last wrong input.
CONTEXT = 20
LEAST_CONTEXT = 6
FADE = 4  # frames over which one window gives way to the next


@dataclass(frozen=True)
class Window:
    """Frames of the recording from `start` on, of which those from `begin` up to `end` are kept.

    The others are context, and may lie outside of the recording.
    """

    start: int
    begin: int
    end: int


def context_of(length: int) -> int:
    """Frames of context on each side of a window of `length` frames: an even number.

    A quarter of the window in all, but no fewer than the synthesizer needs and no more than is of use.
    """
    return min(CONTEXT, max(LEAST_CONTEXT, length // 16 * 2))


def cover(frames: int, length: int) -> list[Window]:
    """Windows of `length` frames, an even number, for a recording of `frames`.

    All begin on even frames, as a content frame is two. The last is moved back so far that it ends with the context
    of the last frame: what it hears is then the recording, not its reflection.
    """
    context = context_of(length)
    total = frames + frames % 2
    latest = max(-context, total + context - length)
    return [
        Window(min(begin - context, latest), begin, min(begin + length - 2 * context, total))
        for begin in range(0, total, length - 2 * context)
    ]


class Joiner:
    """Joins the audio of a plan's windows in order, fading over from one to the next around the frame where they meet.

    The fade is linear in amplitude: windows agree where they overlap, so their sum keeps its power.
    """

    def __init__(self, hop: int) -> None:
        self.hop = hop
        self.rise = (np.arange(FADE * hop, dtype=np.float32) + 0.5) / (FADE * hop)
        self.pending: Array | None = None

    def join(self, window: Window, audio: Array, last: bool) -> Array:
        """The audio of a window, float32 [length * hop] -> what is now certain, float32 [n]."""
        half = len(self.rise) // 2
        begin = (window.begin - window.start) * self.hop - (0 if self.pending is None else half)
        end = (window.end - window.start) * self.hop + (0 if last else half)
        kept = audio[begin:end].copy()
        if self.pending is not None:
            faded = kept[: len(self.rise)]
            faded *= self.rise
            faded += self.pending * self.rise[::-1]
        if last:
            return kept
        self.pending = kept[len(kept) - 2 * half :]
        return kept[: len(kept) - 2 * half]
