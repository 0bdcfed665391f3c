"""RVC's chain: content features, drawn towards the index, with pitch and speaker to audio."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from voxc.compiler.audio.pitch import DEFAULT, ESTIMATORS, FRAME, F0Estimator
from voxc.compiler.audio.salience import DECODERS, NetworkEstimator
from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.seeded_noise import NoiseInput
from voxc.compiler.audio.sound import CONTENT_RATE
from voxc.compiler.audio.windows import Window, context_of
from voxc.compiler.core.errors import QualityError, RecipeError
from voxc.compiler.core.runner import Held
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.families.chain import Chain, Conditions, Runners
from voxc.compiler.families.rvc.analysis import Analysis, RvcState, balance
from voxc.compiler.families.rvc.options import AUTO, ConvertOptions
from voxc.compiler.families.rvc.settings import RvcSettings

FIELD = 80  # samples that the last content frame hears beyond its own 320
UNPROTECTED = 0.5  # RVC's `protect` that protects nothing
NOISE_UNIT = "sigma"


@dataclass(frozen=True)
class RvcChain(Chain[RvcState]):
    """Components `content`, `synthesizer`, perhaps `retrieval` and an F0 network, and how to feed them.

    `frames` is the length of every window in synthesizer frames, even; `noise` are the synthesizer's noise inputs in
    the order of its draws.
    """

    Options: ClassVar[type[Any]] = ConvertOptions
    needs: ClassVar[Mapping[str, str]] = {
        "content": "compile it again with a content encoder (--content DIR)",
        "synthesizer": "it is not a voice",
    }
    last: ClassVar[str] = "synthesizer"

    settings: RvcSettings
    noise: tuple[NoiseInput, ...]
    frames: int

    @classmethod
    def of(cls, settings: RvcSettings, inputs: Sequence[TensorSpec], frames: int) -> RvcChain:
        """The chain of a voice, by the inputs of its synthesizer, for windows of `frames`."""
        noise = tuple(NoiseInput.of(spec, frames) for spec in inputs if spec.unit == NOISE_UNIT)
        return cls(settings, noise, frames)

    def check(self, components: Collection[str]) -> None:
        super().check(components)
        self.settings.check_segment(self.frames)

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        return self.settings.sample_rate

    @property
    def hop(self) -> int:  # type: ignore[override]
        return self.settings.hop

    def check_options(self, options: ConvertOptions) -> None:
        if options.speaker >= self.settings.speakers:
            raise RecipeError(f"speaker {options.speaker}: the voice has speakers 0 to {self.settings.speakers - 1}")

    def prepare(self, conditions: Conditions, runners: Runners) -> RvcState:
        return Analysis(self.settings, self.frames, conditions, self.estimator(conditions.options.f0, runners)).run()

    def estimator(self, name: str, runners: Runners) -> F0Estimator:
        """The F0 estimator of that name, a network or one that needs none.

        Raises:
            RecipeError: the voice has none of that name.
        """
        networks = [component for component in DECODERS if component in runners]
        if name == AUTO:
            name = networks[0] if networks else DEFAULT
        component = name.replace("-", "_")
        if component in networks:
            return NetworkEstimator(runners[component], self.frames, DECODERS[component])
        if name not in ESTIMATORS:
            there = ", ".join([*networks, *ESTIMATORS]).replace("_", "-")
            raise RecipeError(f"f0 {name}: this voice has {there}; compile it with --f0 to have another")
        return ESTIMATORS[name]

    def window(self, state: RvcState, window: Window, conditions: Conditions, runners: Runners) -> Array:
        options, stopwatch = conditions.options, conditions.stopwatch
        with stopwatch("content"):
            heard = conditions.scratch.read(FRAME * window.start, FRAME * self.frames + FIELD)
            features = runners["content"].hand_on({"audio": heard[np.newaxis]})["features"]
        inputs, blend = self.pitch(state, window, options)
        with stopwatch("retrieval"):
            phone = self.phone(features, blend, runners)
        with stopwatch("noise"):
            for stream, noise in enumerate(self.noise):
                inputs[noise.name] = noise.draw(options.seed, stream, window.start, self.frames)
        with stopwatch("synthesizer"):
            audio = np.asarray(runners["synthesizer"].hand_on({**inputs, "phone": phone})["audio"]).reshape(-1)
        if not np.isfinite(audio).all():
            second = max(0, window.begin) * FRAME / CONTENT_RATE
            raise QualityError(f"the networks gave values that are not numbers at {second:.2f} s; verify the bundle")
        return audio.astype(np.float32, copy=False)

    def pitch(self, state: RvcState, window: Window, options: ConvertOptions) -> tuple[dict[str, Array], Array]:
        """The synthesizer's inputs but for `phone` and noise, and the blend of retrieved features, float32
        [1, frames]."""
        inputs: dict[str, Array] = {"sid": np.array([options.speaker], np.int64)}
        blend = np.full((1, self.frames), options.index_rate, np.float32)
        if state.contour is not None:
            hertz, pitch, voiced = state.contour.window(window.start, self.frames, context_of(self.frames) // 2)
            inputs |= {"nsff0": hertz[np.newaxis], "pitch": pitch[np.newaxis]}
            if options.protect < UNPROTECTED:
                blend[0, ~voiced] *= options.protect
        return inputs, blend

    def phone(self, features: Array | Held, blend: Array, runners: Runners) -> Array | Held:
        """Content features at the synthesizer's rate: [1, T, F] -> [1, 2 T, F]."""
        if "retrieval" in runners and blend.any():
            return runners["retrieval"].hand_on({"features": features, "blend": blend})["phone"]
        return np.repeat(np.asarray(features), 2, axis=1)

    def finish(self, state: RvcState, result: Scratch, conditions: Conditions) -> None:
        balance(state, result, conditions, self.sample_rate)
