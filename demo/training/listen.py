"""A voice in eager PyTorch on voxc's own pipeline: what a voice can do before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.eager import eager_pipeline
from voxc.compiler.runtime.pipeline import Pipeline

RATE = 16000
FRAMES = 400  # of a window


def eager_voice(directory: Path) -> Pipeline:
    """The voice of voice.pth, content/ and voice.index in `directory`."""
    files = VoiceFiles(directory / "voice.pth", directory / "content", directory / "voice.index")
    return eager_pipeline(load_voice(files), FRAMES)


def say_as(voice: Pipeline, audio: np.ndarray, speaker: int, transpose: float, index_rate: float) -> np.ndarray:
    """audio float32 [samples] at 16 kHz, as `speaker` says it."""
    options = ConvertOptions(speaker=speaker, transpose=transpose, index_rate=index_rate)
    return convert_audio(audio, RATE, voice, options)[0]
