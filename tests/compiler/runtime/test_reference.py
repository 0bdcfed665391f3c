"""Conversions against RVC's own order of steps, spelled out over the whole recording at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from tests.compiler.audio.test_loudness import rms_as_librosa, stretch_as_torch
from tests.compiler.audio.test_pitch import rvcs_pm
from tests.compiler.runtime.standins import Finder, random_voice, tone, whistling
from tests.compiler.runtime.test_conversion import snr
from voxc.compiler.families.rvc.contour import coarse_pitch
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.pipeline import Pipeline

# 4 s, two loud notes and a soft one with breath between them; a whole number of content frames, at 16 kHz.
GAP = np.random.default_rng(0).standard_normal(6400).astype(np.float32) * 0.01
SOUND = np.concatenate([tone(150, 1.2, 16000), GAP, tone(260, 1.2, 16000, 0.4), GAP, tone(200, 0.8, 16000, 0.05)])


def rvc(sound: np.ndarray, voice: Pipeline, options: ConvertOptions) -> np.ndarray:
    """One segment with a second of reflection on each side; what the voice draws is what our windows draw there."""
    sound = sound / max(1, np.abs(sound).max() / 0.95)
    filtered = signal.filtfilt(*signal.butter(5, 48, "high", fs=16000), sound)
    padded = np.pad(filtered, 16000, mode="reflect")
    contents = (len(padded) - 80) // 320
    frames = 2 * contents
    f0 = rvcs_pm(filtered)[:frames]
    hertz = np.interp(np.arange(frames), np.flatnonzero(f0), f0[f0 > 0]) * 2 ** (options.transpose / 12)
    audio = padded[np.newaxis, : 320 * contents + 80].astype(np.float32)
    phone = voice.runners["content"].run({"audio": audio})["features"].repeat(2, axis=1)
    if "retrieval" in voice.runners:
        share = np.where(f0 > 0, 1, options.protect)[:, np.newaxis] * options.index_rate
        phone = (share * -1 + (1 - share) * phone).astype(np.float32)
    given = {
        "phone": phone,
        "nsff0": hertz[np.newaxis].astype(np.float32),
        "pitch": coarse_pitch(hertz)[np.newaxis],
        "sid": np.array([options.speaker]),
    }
    for stream, noise in enumerate(voice.chain.noise):
        shape = tuple(
            size // voice.chain.frames * frames if axis == noise.axis else size for axis, size in enumerate(noise.shape)
        )
        drawn = type(noise)(noise.name, shape, noise.axis).draw(options.seed, stream, -100, frames)
        given[noise.name] = drawn
    padding = 100 * voice.chain.hop
    spoken = voice.runners["synthesizer"].run(given)["audio"].reshape(-1)[padding:-padding]
    if options.rms_mix != 1:
        heard, own = (
            stretch_as_torch(rms_as_librosa(signal_, rate), len(spoken))
            for signal_, rate in ((filtered, 16000), (spoken, voice.chain.sample_rate))
        )
        spoken = spoken * heard ** (1 - options.rms_mix) * np.maximum(own, 1e-6) ** (options.rms_mix - 1)
    return spoken / max(1, np.abs(spoken).max() / 0.99)


@pytest.mark.parametrize(
    ("options", "agreement"),
    [
        (ConvertOptions(rms_mix=1), 80),
        (ConvertOptions(rms_mix=1, transpose=-5, index_rate=0.4, protect=0.1), 80),
        (ConvertOptions(rms_mix=0.25), 25),  # RVC's result is two frames shorter, and the contour with it
    ],
)
def test_windows_equal_rvcs_one_segment(options: ConvertOptions, agreement: float) -> None:
    voice = whistling(100)
    voice.runners["retrieval"] = Finder()  # type: ignore[index]
    expected = rvc(SOUND, voice, options)
    found, report = convert_audio(SOUND, 16000, voice, options)
    assert report.windows > 4
    assert len(found) - len(expected) == 2 * voice.chain.hop
    assert snr(expected, found[: len(expected)]) > agreement


def test_a_real_network_speaks_as_in_one_segment() -> None:
    voice = random_voice(200)
    found, _ = convert_audio(SOUND, 16000, voice, ConvertOptions(rms_mix=1, speaker=1, seed=3))
    expected = rvc(SOUND, voice, ConvertOptions(rms_mix=1, speaker=1, seed=3))
    assert snr(expected, found[: len(expected)]) > 40
