"""A voice in eager PyTorch on voxc's own pipeline: what a voice can do before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from voxc.compiler.content.directory import load_encoder
from voxc.compiler.families.rvc.checkpoint import load_checkpoint
from voxc.compiler.retrieval.index import load_index
from voxc.compiler.retrieval.network import Retrieval
from voxc.compiler.runtime.convert import convert_audio
from voxc.compiler.runtime.options import ConvertOptions
from voxc.compiler.runtime.pipeline import Pipeline

RATE, HOP = 16000, 160
FRAMES = 400  # of a window
PHONE_ORDER = ("phone", "pitch", "nsff0", "sid")


class Eager:
    """A runner (voxc.backends.base) of a module; the synthesizer's noise is drawn inside it, from a fixed seed."""

    def __init__(self, module: nn.Module, inputs: tuple[str, ...], output: str) -> None:
        self.module, self.inputs, self.output = module, inputs, output

    def run(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        torch.manual_seed(0)
        with torch.no_grad():
            made: Tensor = self.module(*(torch.from_numpy(given[name]) for name in self.inputs))
        return {self.output: made.numpy()}


def eager_voice(directory: Path) -> Pipeline:
    """The voice of voice.pth, content/ and voice.index in `directory`."""
    checkpoint = load_checkpoint(directory / "voice.pth")
    runners = {
        "content": Eager(load_encoder(directory / "content", "v1"), ("audio",), "features"),
        "retrieval": Eager(
            Retrieval(load_index(directory / "voice.index", 256).vectors), ("features", "blend"), "phone"
        ),
        "synthesizer": Eager(checkpoint.network, PHONE_ORDER, "audio"),
    }
    return Pipeline(runners, (), FRAMES, RATE, HOP, checkpoint.config.speakers, True)


def say_as(voice: Pipeline, audio: np.ndarray, speaker: int, transpose: float, index_rate: float) -> np.ndarray:
    """audio float32 [samples] at 16 kHz, as `speaker` says it."""
    options = ConvertOptions(speaker=speaker, transpose=transpose, index_rate=index_rate)
    return convert_audio(audio, RATE, voice, options)[0]
