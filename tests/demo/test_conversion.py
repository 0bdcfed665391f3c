"""The demo voice on recordings of people, whole and cut short: no window may be heard to begin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import SHARED
from voxc.compiler.audio.windows import FADE, cover
from voxc.compiler.families.rvc.files import DEMO, find_voice
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.eager import eager_pipeline
from voxc.compiler.runtime.pipeline import Pipeline

FRAMES = 100  # of a window: short ones have many joins


@pytest.fixture(scope="module")
def voice() -> Pipeline:
    return eager_pipeline(load_voice(find_voice(DEMO)), FRAMES)


def recording(name: str) -> tuple[np.ndarray, int]:
    path = SHARED / "audio" / name
    if not path.is_file():
        pytest.skip(f"no recording at {path}")
    return soundfile.read(path, dtype="float32")


def steps_at_joins(audio: np.ndarray, hop: int) -> tuple[float, float]:
    """The largest step from sample to sample where windows are joined, and elsewhere."""
    steps = np.abs(np.diff(audio))
    joined = np.zeros(len(steps), bool)
    for window in cover(len(audio) // hop, FRAMES)[1:]:
        joined[(window.begin - FADE) * hop : (window.begin + FADE) * hop] = True
    return float(steps[joined].max()), float(steps[~joined].max())


@pytest.mark.parametrize("name", ["source_1.wav", "source_2.wav"])
def test_joins_are_not_heard(voice: Pipeline, name: str) -> None:
    audio, rate = recording(name)
    found, report = convert_audio(audio, rate, voice, ConvertOptions(speaker=1))
    assert report.windows > 10
    assert np.abs(found).max() > 0.05
    at_joins, elsewhere = steps_at_joins(found, voice.chain.hop)
    assert at_joins <= elsewhere


def test_a_fifth_of_a_second(voice: Pipeline) -> None:
    audio, rate = recording("source_1.wav")
    found, report = convert_audio(audio[rate : rate + rate // 5], rate, voice)
    assert (report.windows, len(found)) == (1, 3200)
    assert np.isfinite(found).all()


def test_long_and_short_windows_agree(voice: Pipeline) -> None:
    """What differs is what the encoder makes of more context, not what the synthesizer does at a join."""
    audio, rate = recording("source_2.wav")
    longer = eager_pipeline(load_voice(find_voice(Path("demo"))), 4 * FRAMES)
    short, long = (convert_audio(audio[: 4 * rate], rate, each)[0] for each in (voice, longer))
    loudness = [
        np.sqrt(np.mean(np.square(sound[: len(sound) // 160 * 160].reshape(-1, 160)), axis=1))
        for sound in (short, long)
    ]
    assert np.corrcoef(*loudness)[0, 1] > 0.95
