"""The networks of a voice, ready to run, and one window's way through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from voxc.compiler.core.errors import QualityError, RecipeError
from voxc.compiler.core.runner import Held, Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.runtime.audio import CONTENT_RATE
from voxc.compiler.runtime.clock import Clock
from voxc.compiler.runtime.f0 import FRAME, Contour
from voxc.compiler.runtime.noise import NoiseInput
from voxc.compiler.runtime.options import ConvertOptions
from voxc.compiler.runtime.scratch import Scratch
from voxc.compiler.runtime.windows import Window, context_of

FIELD = 80  # samples that the last content frame hears beyond its own 320
UNPROTECTED = 0.5  # RVC's `protect` that protects nothing
MIN_FRAMES = 16


@dataclass(frozen=True)
class Pipeline:
    """A voice's runners by component name, `content`, `synthesizer` and perhaps `retrieval`, and how to feed them.

    `frames` is the length of every window in synthesizer frames, even; `noise` are the synthesizer's noise inputs in
    the order of its draws. `sample_rate` in Hz, `hop` in samples a frame.
    """

    runners: Mapping[str, Runner]
    noise: tuple[NoiseInput, ...]
    frames: int
    sample_rate: int
    hop: int
    speakers: int
    uses_f0: bool

    def __post_init__(self) -> None:
        missing = [name for name in ("content", "synthesizer") if name not in self.runners]
        if missing:
            raise RecipeError(
                f"to convert audio a voice needs a {' and a '.join(missing)} component; this one has none"
            )
        if self.frames % 2 or self.frames < MIN_FRAMES:
            raise RecipeError(
                f"segments of {self.frames} frames: to convert audio, compile for an even number, {MIN_FRAMES} or more"
            )
        if self.hop * CONTENT_RATE != self.sample_rate * FRAME:
            raise RecipeError(f"{self.hop} samples a frame at {self.sample_rate} Hz: voices have 100 frames a second")

    def check(self, options: ConvertOptions) -> None:
        """Raises RecipeError if the voice cannot do what is asked for."""
        if options.speaker >= self.speakers:
            raise RecipeError(f"speaker {options.speaker}: the voice has speakers 0 to {self.speakers - 1}")

    def run(
        self, window: Window, audio: Scratch, contour: Contour | None, options: ConvertOptions, clock: Clock
    ) -> Array:
        """The audio of a window, float32 [frames * hop]; `audio` at 16 kHz, `contour` for voices that use F0.

        Raises:
            QualityError: the networks gave something that is not a finite number.
        """
        with clock("content"):
            heard = audio.read(FRAME * window.start, FRAME * self.frames + FIELD)
            features = self.runners["content"].hand_on({"audio": heard[np.newaxis]})["features"]
        given, blend = self.pitch(window, contour, options)
        with clock("retrieval"):
            phone = self.phone(features, blend)
        with clock("noise"):
            for stream, noise in enumerate(self.noise):
                given[noise.name] = noise.draw(options.seed, stream, window.start, self.frames)
        with clock("synthesizer"):
            found = self.runners["synthesizer"].hand_on({**given, "phone": phone})["audio"]
            spoken = np.asarray(found).reshape(-1)
        if not np.isfinite(spoken).all():
            second = max(0, window.begin) * FRAME / CONTENT_RATE
            raise QualityError(f"the networks gave values that are not numbers at {second:.2f} s; verify the bundle")
        return spoken.astype(np.float32, copy=False)

    def pitch(self, window: Window, contour: Contour | None, options: ConvertOptions) -> tuple[dict[str, Array], Array]:
        """The synthesizer's inputs but for `phone` and noise, and the blend of found features, float32 [1, frames]."""
        given: dict[str, Array] = {"sid": np.array([options.speaker], np.int64)}
        blend = np.full((1, self.frames), options.index_rate, np.float32)
        if contour is not None:
            hertz, pitch, voiced = contour.window(window.start, self.frames, context_of(self.frames) // 2)
            given |= {"nsff0": hertz[np.newaxis], "pitch": pitch[np.newaxis]}
            if options.protect < UNPROTECTED:
                blend[0, ~voiced] *= options.protect
        return given, blend

    def phone(self, features: Array | Held, blend: Array) -> Array | Held:
        """Content features at the synthesizer's rate: [1, T, F] -> [1, 2 T, F]."""
        if "retrieval" in self.runners and blend.any():
            return self.runners["retrieval"].hand_on({"features": features, "blend": blend})["phone"]
        return np.repeat(np.asarray(features), 2, axis=1)
