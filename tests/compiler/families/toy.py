"""A family that is nothing like RVC: it loops, it listens to two references, and it has an axis of its own.

Audio at 8 kHz, 100 frames a second. A speaker encoder hears R frames of each reference; an estimator takes N steps from
noise to features, guided by the source and the speaker; a vocoder makes audio of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.audio.sound import Recording, Resampler
from voxc.compiler.audio.windows import Window
from voxc.compiler.core.axis import TIME, Axis, Sizes, time_axis
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.families.base import Family, FamilyOptions
from voxc.compiler.families.chain import Chain, Conditions, Runners, State
from voxc.compiler.families.model import Model, Task

RATE, HOP, WIDTH, STEPS = 8000, 80, 12, 3
SUFFIX = ".toy"


class Speaker(nn.Module):
    """Mean and power of the features of a reference: [1, R, HOP] -> [1, WIDTH], [1, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(HOP, WIDTH)

    def forward(self, reference: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.tanh(self.project(reference))
        return features.mean(1), (features * features).mean(1)


class Estimator(nn.Module):
    """One step of a flow: [1, WIDTH, T] and its guides -> the same, further."""

    def __init__(self) -> None:
        super().__init__()
        self.source = nn.Linear(HOP, WIDTH)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, features: Tensor, frames: Tensor, speaker: Tensor, time: Tensor) -> Tensor:
        guide = self.source(frames).transpose(1, 2) + speaker.unsqueeze(-1)
        return features + torch.tanh(self.mix(features) + guide) * time / STEPS


class Vocoder(nn.Module):
    """Features [1, WIDTH, T] -> audio [1, 1, HOP T]."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose1d(WIDTH, 4, 2 * HOP, HOP, HOP // 2)
        self.last = nn.Conv1d(4, 1, 5, padding=2)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(self.last(F.leaky_relu(self.up(features), 0.1)))


def spec(name: str, shape: tuple[int | str, ...], unit: str = "1") -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype="float32", unit=unit, meaning=name)


def drawn(specs: Sequence[TensorSpec], sizes: Sizes, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {each.name: random.standard_normal(each.bound_shape(sizes), np.float32) for each in specs}


def components() -> tuple[Component, ...]:
    torch.manual_seed(0)

    def made(
        name: str, module: nn.Module, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], **options: Any
    ) -> Component:
        return Component(name, module.eval(), inputs, (), outputs, partial(drawn, inputs), **options)

    features = spec("features", (1, WIDTH, TIME))
    frames, speaker = spec("frames", (1, TIME, HOP), "full scale"), spec("speaker", (1, WIDTH))
    return (
        made("speaker", Speaker(), (spec("reference", (1, "R", HOP), "full scale"),),
             (spec("mean", (1, WIDTH)), spec("power", (1, WIDTH))), axes=(Axis("R", size=40, most=400),)),
        made("estimator", Estimator(), (features, frames, speaker, spec("time", (1,))),
             (spec("next", (1, WIDTH, TIME)),), axes=(time_axis(100),), steps=STEPS),
        made("vocoder", Vocoder(), (features,), (spec("audio", (1, 1, f"{HOP}*{TIME}"), "full scale"),),
             axes=(time_axis(100),), audio_rate=RATE),
    )  # fmt: skip


@dataclass(frozen=True)
class ToyConvertOptions:
    speaker: int = 0
    transpose: float = 0.0
    seed: int = 0


@dataclass
class ToyState(State):
    embedding: Array = None  # type: ignore[assignment]


@dataclass(frozen=True)
class ToyChain(Chain[ToyState]):
    Options: ClassVar[type[Any]] = ToyConvertOptions
    needs: ClassVar[Mapping[str, str]] = dict.fromkeys(("speaker", "estimator", "vocoder"), "compile it again")
    last: ClassVar[str] = "vocoder"
    sample_rate: ClassVar[int] = RATE  # type: ignore[misc]
    hop: ClassVar[int] = HOP  # type: ignore[misc]
    frames: int
    reference_frames: int

    def check_options(self, options: Any) -> None:
        if options.speaker:
            raise RecipeError("a toy has one speaker")

    def prepare(self, conditions: Conditions, runners: Runners) -> ToyState:
        if len(conditions.references) != 2:
            raise RecipeError("a toy listens to two references; give --reference twice")
        heard = []
        for reference in conditions.references:
            audio = np.resize(resampled(reference), HOP * self.reference_frames).reshape(1, -1, HOP)
            outputs = runners["speaker"].run({"reference": audio})
            heard.append(outputs["mean"] + outputs["power"])
        conditions.scratch.append(resampled(conditions.source))
        length = conditions.scratch.length
        windows = conditions.choose(-(-length // HOP), self.frames)
        return ToyState(length, length / RATE, windows, embedding=np.mean(heard, axis=0, dtype=np.float32))

    def window(self, state: ToyState, window: Window, conditions: Conditions, runners: Runners) -> Array:
        frames = conditions.scratch.read(HOP * window.start, HOP * self.frames).reshape(1, -1, HOP)
        random = np.random.default_rng([conditions.options.seed, window.start + (1 << 20)])
        features = random.standard_normal((1, WIDTH, self.frames), np.float32)
        for step in range(STEPS):
            time = np.array([step + 1], np.float32)
            inputs = {"features": features, "frames": frames, "speaker": state.embedding, "time": time}
            features = runners["estimator"].run(inputs)["next"]
        return runners["vocoder"].run({"features": features})["audio"].reshape(-1)


def resampled(recording: Recording) -> Array:
    resampler = Resampler(recording.rate, RATE)
    blocks = [resampler.push(block) for block in recording.blocks()]
    return np.concatenate([*blocks, resampler.push(np.zeros(0, np.float32), last=True)])


class ToyFamily(Family):
    name: ClassVar[str] = "toy"
    reads: ClassVar[str] = "toys (.toy)"
    Options: ClassVar[type[FamilyOptions]] = FamilyOptions

    def recognise(self, source: Path) -> bool:
        return source.suffix == SUFFIX

    def load(self, source: Path, options: Any, sizes: Sizes) -> Model:
        parts = components()
        reference_frames = sizes.get("R", 40)
        recordings = sorted(source.parent.glob("*.wav"))
        return Model(
            self.name,
            parts,
            {"checkpoint": source},
            task=Task("conversion", recordings[0], {0: tuple(recordings[1:3])}),
            chain=lambda frames: ToyChain(frames, reference_frames),
            frame_rate=100,
            sample_rate=RATE,
            settings={"reference_frames": reference_frames},
        )

    def chain(
        self, settings: Mapping[str, JsonValue], inputs: Mapping[str, Sequence[TensorSpec]], frames: int
    ) -> ToyChain:
        return ToyChain(frames, int(str(settings["reference_frames"])))
