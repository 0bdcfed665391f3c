"""What RVC does with a whole recording: before its windows, and after them.

Analyse: decode, resample to 16 kHz, take out what lies below 48 Hz; find the pitch. Balance: loudness and peak. Signals
wait in scratch files, so that memory does not grow with the recording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from voxc.compiler.audio.filter import ZeroPhaseHighPass
from voxc.compiler.audio.loudness import Loudness, mixing_gain
from voxc.compiler.audio.pitch import FRAME, F0Estimator
from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import CONTENT_RATE, Resampler
from voxc.compiler.audio.windows import Window
from voxc.compiler.core.errors import AudioError
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.chain import Conditions, State
from voxc.compiler.families.rvc.contour import Contour
from voxc.compiler.families.rvc.settings import RvcSettings

BLOCK = 1 << 18  # samples at a time where nothing else decides
PADDING = 100  # frames of reflection on each side of the contour, as in RVC
LOUDEST_SOURCE = 0.95
LOUDEST_RESULT = 0.99
SILENCE = 1e-5  # full scale; what is never louder has no pitch


@dataclass
class RvcState(State):
    """`contour` is the pitch, for voices that use it; `loudness` that of the recording."""

    contour: Contour | None = None
    loudness: Loudness | None = None


class Analysis:
    """One recording on its way to windows of `frames`; fills the scratch of `conditions` with 16 kHz audio."""

    def __init__(self, settings: RvcSettings, frames: int, conditions: Conditions, estimator: F0Estimator) -> None:
        self.settings, self.window_frames, self.conditions, self.estimator = settings, frames, conditions, estimator
        self.recording, self.audio, self.stopwatch = conditions.source, conditions.scratch, conditions.stopwatch
        self.loudness = Loudness(CONTENT_RATE)
        self.resampler, self.high_pass = Resampler(self.recording.rate, CONTENT_RATE), ZeroPhaseHighPass()
        self.warnings: list[str] = []
        self.samples = 0
        self.peak = 0.0

    def run(self) -> RvcState:
        self.decode()
        if self.silent:
            self.warnings.append("the recording is silent")
        if self.conditions.options.transpose and not self.settings.uses_f0:
            self.warnings.append("the voice was trained without pitch: transposing changes nothing")
        windows = self.conditions.choose(self.frames, self.window_frames)
        contour = self.contour(windows) if self.settings.uses_f0 else None
        voiced = None if contour is None else float(contour.voiced[PADDING : PADDING + self.frames].mean())
        return RvcState(
            self.length, self.seconds, windows, self.warnings, voiced, contour=contour, loudness=self.loudness
        )

    @property
    def seconds(self) -> float:
        return self.samples / self.recording.rate

    @property
    def silent(self) -> bool:
        return self.audio.peak * self.audio.gain < SILENCE

    @property
    def frames(self) -> int:
        """Synthesizer frames that cover the recording and the result."""
        return math.ceil(max(self.audio.length / FRAME, self.length / self.settings.hop))

    @property
    def length(self) -> int:
        """Samples of the result, which lasts as long as the recording, to half a sample."""
        return max(1, round(self.samples * self.settings.sample_rate / self.recording.rate))

    def decode(self) -> None:
        blocks = self.recording.blocks()
        while True:
            with self.stopwatch("read"):
                block = next(blocks, None)
            if block is None:
                break
            self.samples += len(block)
            self.hear(block)
            self.conditions.tick("analyse", self.seconds, max(self.seconds, self.recording.seconds))
        self.hear(np.zeros(0, np.float32), last=True)
        if not self.audio.length:
            raise AudioError(
                f"{self.recording.name}: {self.samples} samples long: nothing to convert; give a recording of a voice"
            )
        self.audio.gain = min(1.0, LOUDEST_SOURCE / self.peak) if self.peak else 1.0

    def hear(self, block: Array, last: bool = False) -> None:
        with self.stopwatch("resample"):
            block = self.resampler.push(block, last)
        if len(block):
            self.peak = max(self.peak, float(np.abs(block).max()))
        with self.stopwatch("filter"):
            filtered = self.high_pass.push(block)
            if last:
                filtered = np.concatenate([filtered, self.high_pass.finish()])
        with self.stopwatch("scratch"):
            self.loudness.push(filtered)
            self.audio.append(filtered)

    def contour(self, windows: Sequence[Window]) -> Contour:
        """The pitch of all that the windows see, and of RVC's second of padding."""
        end = max(self.frames + PADDING, windows[-1].start + self.window_frames)
        hertz = np.zeros(PADDING + end)
        with self.stopwatch("f0"):
            if not self.silent:
                hertz = self.estimator.contour(self.audio, -PADDING, len(hertz), partial(self.conditions.tick, "pitch"))
            contour = Contour.of(hertz, -PADDING, self.conditions.options.transpose)
        if not contour.voiced.any() and not self.silent:
            self.warnings.append("nothing in the recording is voiced: the result is spoken without a pitch")
        return contour


def balance(state: RvcState, result: Scratch, conditions: Conditions, rate: int) -> None:
    """Mixes the loudness of a result at `rate` Hz, and finds the gain that keeps its peak below full scale."""
    share = conditions.options.rms_mix
    with conditions.stopwatch("loudness"):
        assert state.loudness is not None, "the analysis has measured it"
        own = Loudness(rate)
        for _, block in result.blocks(BLOCK):
            own.push(block)
        theirs, ours = state.loudness.contour() * conditions.scratch.gain, own.contour()
        for start, block in result.blocks(BLOCK):
            if share != 1:
                block *= mixing_gain(theirs, ours, share, start, len(block), result.length)
                result.overwrite(start, block)
            state.peak = max(state.peak, float(np.abs(block).max()))
    result.gain = min(1.0, LOUDEST_RESULT / state.peak) if state.peak else 1.0
