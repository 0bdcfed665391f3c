from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import voxc
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import AudioError, BundleError, RecipeError
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.pipeline import load_pipeline

RATE = 16_000
SAMPLES = (0.3 * np.sin(2 * np.pi * 150 * np.arange(RATE) / RATE)).astype(np.float32)


@dataclass(frozen=True)
class Bare:
    speaker: int = 0
    transpose: float = 0.0
    seed: int = 0


def test_gives_what_the_pipeline_gives(speaking: Path) -> None:
    options = ConvertOptions(speaker=1, transpose=3.0, protect=0.5, seed=7)
    expected, _ = convert_audio(SAMPLES, RATE, load_pipeline(Bundle.open(speaking), 1), options)
    with voxc.open(speaking, threads=1) as voice:
        converted = voice.convert(SAMPLES, RATE, speaker=1, transpose=3, protect=0.5, seed=7)
        other = voice.convert(SAMPLES, RATE)
    np.testing.assert_array_equal(converted.samples, expected)
    assert (converted.samples.dtype, converted.samples.ndim) == (np.float32, 1)
    assert converted.rate == voice.rate
    assert len(converted.samples) == voice.rate
    assert not np.array_equal(other.samples, expected)


def test_channels_and_silence(speaking: Path) -> None:
    with voxc.open(str(speaking)) as voice:
        mono = voice.convert(SAMPLES, RATE)
        stereo = voice.convert(np.stack([SAMPLES, SAMPLES], axis=1), RATE)
        silent = voice.convert(np.zeros(RATE), RATE)
    np.testing.assert_array_equal(stereo.samples, mono.samples)
    assert silent.warnings == ("the recording is silent",)


def test_a_closed_voice_converts_nothing(speaking: Path) -> None:
    voice = voxc.open(speaking)
    voice.close()
    voice.close()
    with pytest.raises(BundleError, match="is closed; open it again"):
        voice.convert(SAMPLES, RATE)


def test_what_cannot_be_used_is_refused(speaking: Path, compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(voxc.VoxcError, match="not a bundle"):
        voxc.open(tmp_path)
    with pytest.raises(BundleError, match="has no content component"):
        voxc.open(compiled)
    with pytest.raises(RecipeError, match="0 threads: give 1 or more"):
        voxc.open(speaking, threads=0)
    with voxc.open(speaking) as voice:
        with pytest.raises(AudioError, match="give floats"):
            voice.convert(np.zeros(RATE, np.int16), RATE)  # type: ignore[arg-type]
        with pytest.raises(AudioError, match="nothing to convert"):
            voice.convert(np.zeros(0, np.float32), RATE)
        with pytest.raises(RecipeError, match=r"index_rate 1.5: give a value from 0 to 1"):
            voice.convert(SAMPLES, RATE, index_rate=1.5)
        with pytest.raises(RecipeError, match="speaker 99: the voice has speakers"):
            voice.convert(SAMPLES, RATE, speaker=99)


def test_options_that_a_family_lacks_are_refused(speaking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with voxc.open(speaking) as voice:
        assert voice.pipeline is not None
        monkeypatch.setattr(type(voice.pipeline.chain), "Options", Bare)
        with pytest.raises(RecipeError, match="rms_mix: this voice has no such option; it has speaker"):
            voice.convert(SAMPLES, RATE, rms_mix=0.5)
