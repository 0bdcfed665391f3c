"""The steps of a conversion, each over the whole recording, block by block or window by window.

Analyse: decode, resample to 16 kHz, take out what lies below 48 Hz. Pitch: the contour. Synthesise: windows through the
networks, joined. Balance: loudness and peak. Signals wait in scratch files between the steps, so memory does not grow
with the recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from voxc.compiler.core.errors import AudioError, RecipeError
from voxc.compiler.core.tensor import Array
from voxc.compiler.runtime.audio import CONTENT_RATE, Recording, Resampler
from voxc.compiler.runtime.clock import Clock
from voxc.compiler.runtime.f0 import ESTIMATORS, FRAME, STEP, Contour
from voxc.compiler.runtime.filter import ZeroPhaseHighPass
from voxc.compiler.runtime.loudness import Loudness, mixing_gain
from voxc.compiler.runtime.options import ConvertOptions
from voxc.compiler.runtime.pipeline import Pipeline
from voxc.compiler.runtime.scratch import Scratch
from voxc.compiler.runtime.windows import Joiner, Window, plan

BLOCK = 1 << 18  # samples at a time where nothing else decides
PADDING = 100  # frames of reflection on each side of the contour, as in RVC
LOUDEST_SOURCE = 0.95
LOUDEST_RESULT = 0.99
SILENCE = 1e-5  # full scale; what is never louder has no pitch

Tick = Callable[[str, float, float], None]
"""Progress: the step (`analyse`, `pitch`, `convert`, `write`), seconds of audio done, and seconds in all."""


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did.

    `seconds` of audio; `steps` are wall seconds by step; `peak` is the result's largest magnitude before it was limited
    to 0.99; `voiced` is the share of voiced frames, None for a voice that uses no F0.
    """

    seconds: float
    steps: dict[str, float]
    windows: int
    peak: float
    voiced: float | None
    warnings: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Wall seconds a second of audio."""
        return sum(self.steps.values()) / self.seconds


class Conversion:
    """One recording on its way through a pipeline; `heard` and `spoken` are empty scratch files for it.

    Attributes:
        heard: the recording at 16 kHz, filtered.
        spoken: the result at the voice's rate.
        samples: length of the recording, at its own rate.
    """

    def __init__(
        self,
        recording: Recording,
        pipeline: Pipeline,
        options: ConvertOptions,
        heard: Scratch,
        spoken: Scratch,
        tick: Tick,
    ) -> None:
        """Raises RecipeError if the voice cannot do what the options ask for."""
        pipeline.check(options)
        if options.f0 not in ESTIMATORS:
            raise RecipeError(f"f0 {options.f0}: the estimators are {', '.join(ESTIMATORS)}")
        self.recording, self.pipeline, self.options, self.tick = recording, pipeline, options, tick
        self.heard, self.spoken = heard, spoken
        self.heard_loudness, self.spoken_loudness = Loudness(CONTENT_RATE), Loudness(pipeline.sample_rate)
        self.resampler, self.high_pass = Resampler(recording.rate, CONTENT_RATE), ZeroPhaseHighPass()
        self.clock = Clock()
        self.warnings: list[str] = []
        self.samples = self.windows = 0
        self.source_peak = self.peak = 0.0
        self.voiced: float | None = None

    def run(self) -> ConvertReport:
        """Fills `spoken`.

        Raises:
            AudioError: the recording cannot be decoded, is empty, or has samples that are no sound.
            QualityError: the networks gave something that is not a finite number.
            OutputError: the disk is full.
        """
        self.analyse()
        if self.silent:
            self.warnings.append("the recording is silent")
        if self.options.transpose and not self.pipeline.uses_f0:
            self.warnings.append("the voice was trained without pitch: transposing changes nothing")
        windows = plan(self.frames, self.pipeline.frames)
        contour = self.contour(windows) if self.pipeline.uses_f0 else None
        self.synthesise(windows, contour)
        self.balance()
        return self.report()

    @property
    def seconds(self) -> float:
        return self.samples / self.recording.rate

    @property
    def silent(self) -> bool:
        return self.heard.peak * self.heard.gain < SILENCE

    @property
    def frames(self) -> int:
        """Synthesizer frames that cover the recording and the result."""
        return math.ceil(max(self.heard.length / FRAME, self.spoken_samples / self.pipeline.hop))

    @property
    def spoken_samples(self) -> int:
        """The result lasts as long as the recording, to half a sample."""
        return max(1, round(self.samples * self.pipeline.sample_rate / self.recording.rate))

    def analyse(self) -> None:
        blocks = self.recording.blocks()
        while True:
            with self.clock("read"):
                block = next(blocks, None)
            if block is None:
                break
            self.samples += len(block)
            self.hear(block)
            self.tick("analyse", self.seconds, max(self.seconds, self.recording.seconds))
        self.hear(np.zeros(0, np.float32), last=True)
        if not self.heard.length:
            raise AudioError(f"{self.recording.name}: {self.samples} samples long: nothing to convert")
        self.heard.gain = min(1.0, LOUDEST_SOURCE / self.source_peak) if self.source_peak else 1.0

    def hear(self, block: Array, last: bool = False) -> None:
        with self.clock("resample"):
            block = self.resampler.push(block, last)
        if len(block):
            self.source_peak = max(self.source_peak, float(np.abs(block).max()))
        with self.clock("filter"):
            filtered = self.high_pass.push(block)
            if last:
                filtered = np.concatenate([filtered, self.high_pass.finish()])
        with self.clock("scratch"):
            self.heard_loudness.push(filtered)
            self.heard.append(filtered)

    def contour(self, windows: list[Window]) -> Contour:
        """The pitch of all that the windows see, and of RVC's second of padding."""
        end = max(self.frames + PADDING, windows[-1].start + self.pipeline.frames)
        estimated = np.zeros(PADDING + end)
        with self.clock("f0"):
            if not self.silent:
                estimator = ESTIMATORS[self.options.f0]
                estimated = estimator.contour(self.heard, -PADDING, len(estimated), partial(self.tick, "pitch"))
            contour = Contour.of(estimated, -PADDING, self.options.transpose)
        self.voiced = float(contour.voiced[PADDING : PADDING + self.frames].mean())
        if not contour.voiced.any() and not self.silent:
            self.warnings.append("nothing in the recording is voiced: the result is spoken without a pitch")
        return contour

    def synthesise(self, windows: list[Window], contour: Contour | None) -> None:
        joiner = Joiner(self.pipeline.hop)
        self.windows = len(windows)
        for window in windows:
            audio = self.pipeline.run(window, self.heard, contour, self.options, self.clock)
            with self.clock("join"):
                joined = joiner.join(window, audio, last=window is windows[-1])
                joined = joined[: self.spoken_samples - self.spoken.length]
                self.spoken_loudness.push(joined)
                self.spoken.append(joined)
            self.tick("convert", min(window.end * STEP, self.seconds), self.seconds)

    def balance(self) -> None:
        """Mixes the loudness, and finds the gain that keeps the peak below full scale."""
        share = self.options.rms_mix
        with self.clock("loudness"):
            theirs, own = self.heard_loudness.contour() * self.heard.gain, self.spoken_loudness.contour()
            for start, block in self.spoken.blocks(BLOCK):
                if share != 1:
                    block *= mixing_gain(theirs, own, share, start, len(block), self.spoken.length)
                    self.spoken.overwrite(start, block)
                self.peak = max(self.peak, float(np.abs(block).max()))
        self.spoken.gain = min(1.0, LOUDEST_RESULT / self.peak) if self.peak else 1.0

    def report(self) -> ConvertReport:
        return ConvertReport(
            self.seconds, self.clock.seconds, self.windows, self.peak, self.voiced, tuple(self.warnings)
        )
