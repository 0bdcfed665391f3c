"""Networks with known answers in the place of a voice's, and a real synthesizer with random weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from tests.voices import TINY, tiny_content
from voxc.compiler.audio.seeded_noise import NoiseInput
from voxc.compiler.core.draws import ReplayNoise
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.chain import RvcChain
from voxc.compiler.families.rvc.config import parse_config
from voxc.compiler.families.rvc.settings import RvcSettings
from voxc.compiler.families.rvc.synthesizer import Synthesizer
from voxc.compiler.families.rvc.voice import tensor_specs
from voxc.compiler.runtime.pipeline import Pipeline

HOP = 40  # 4 kHz
MEMORY = 8  # what the stand-ins remember of what they were given, in windows


@dataclass
class Listener(Runner):
    """A content encoder that hears how loud a frame is: the RMS of its 400 samples, in every feature."""

    features: int = 4
    heard: deque[Array] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        audio = inputs["audio"][0]
        assert inputs["audio"].dtype == np.float32
        assert (len(audio) - 80) % 320 == 0
        self.heard.append(audio)
        frames = np.lib.stride_tricks.sliding_window_view(audio, 400)[::320]
        loudness = np.sqrt(np.square(frames).mean(axis=1))
        return {"features": np.repeat(loudness[np.newaxis, :, np.newaxis], self.features, axis=2).astype(np.float32)}


@dataclass
class Whistler(Runner):
    """A synthesizer that whistles at F0, as loud as it is told, with its phase accumulated as RVC's source does it.

    Without F0 it whistles at 100 Hz.
    """

    hop: int = HOP
    given: deque[dict[str, Array]] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.given.append(dict(inputs))
        frames = inputs["phone"].shape[1]
        hertz = np.repeat(inputs.get("nsff0", np.full((1, frames), 100))[0].astype(np.float64), self.hop)
        sine = np.sin(2 * np.pi * np.cumsum(hertz) / (100 * self.hop)) * (hertz > 0)
        loudness = np.repeat(inputs["phone"][0].mean(axis=1), self.hop)
        return {"audio": (sine * loudness).astype(np.float32)[np.newaxis, np.newaxis]}


@dataclass
class Finder(Runner):
    """A retrieval that finds features of -1, blended as it should."""

    blends: deque[Array] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.blends.append(inputs["blend"])
        own = np.repeat(inputs["features"], 2, axis=1)
        return {"phone": own + inputs["blend"][..., np.newaxis] * (-1 - own)}


class Eager(Runner):
    """RVC's synthesizer in PyTorch; its draws come from the inputs."""

    def __init__(self, seed: int = 0) -> None:
        content = tiny_content(seed=seed)
        self.config = parse_config(TINY, speakers=2, version="v2", f0=1, path="test")
        self.network = Synthesizer(self.config).eval()
        self.network.load_state_dict({name: tensor.float() for name, tensor in content["weight"].items()})

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        draws = [tensors.pop(name) for name in ("prior_noise", "source_noise")]
        with torch.inference_mode(), ReplayNoise(draws):
            return {"audio": self.network(**tensors).numpy()}

    def noise(self, frames: int) -> tuple[NoiseInput, ...]:
        return tuple(NoiseInput.of(spec, frames) for spec in tensor_specs(self.config)[1])


def whistling(frames: int = 100, *, retrieval: bool = False, hop: int = HOP, uses_f0: bool = True) -> Pipeline:
    runners: dict[str, Runner] = {"content": Listener(), "synthesizer": Whistler(hop)}
    if retrieval:
        runners["retrieval"] = Finder()
    noise = (NoiseInput("prior_noise", (1, 4, frames), 2), NoiseInput("source_noise", (1, hop * frames, 1), 1))
    settings = RvcSettings(sample_rate=100 * hop, hop=hop, content_features=4, uses_f0=uses_f0, speakers=2)
    return Pipeline(RvcChain(settings, noise, frames), runners)


def random_voice(frames: int = 100) -> Pipeline:
    synthesizer = Eager()
    config = synthesizer.config
    settings = RvcSettings(
        sample_rate=config.sample_rate,
        hop=config.hop,
        content_features=config.content_features,
        uses_f0=True,
        speakers=config.speakers,
    )
    runners = {"content": Listener(config.content_features), "synthesizer": synthesizer}
    return Pipeline(RvcChain(settings, synthesizer.noise(frames), frames), runners)


def tone(hertz: float, seconds: float, rate: int, amplitude: float = 0.3) -> Array:
    """A buzz that Praat hears as `hertz`: three harmonics, float32."""
    time = np.arange(round(seconds * rate)) / rate
    return sum(amplitude / k * np.sin(2 * np.pi * k * hertz * time) for k in (1, 2, 3)).astype(np.float32)
