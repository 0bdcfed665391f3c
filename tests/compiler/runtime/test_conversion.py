from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.compiler.runtime.standins import random_voice, tone, whistling
from voxc.compiler.audio.windows import FADE, cover
from voxc.compiler.core.errors import AudioError, OutputError, RecipeError
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.runtime.conversion import convert_audio, convert_file
from voxc.compiler.runtime.pipeline import Pipeline

PLAIN = ConvertOptions(rms_mix=1)
SPEECH = ("source_1.wav", "source_2.wav", "reference_1.wav")


def speech(folder: Path, name: str) -> tuple[np.ndarray, int]:
    """Four seconds of a recording, and its rate."""
    rate = soundfile.info(folder / name).samplerate
    return soundfile.read(folder / name, 4 * rate, rate, dtype="float32")


def snr(expected: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.square(expected).sum() / (np.square(found - expected).sum() + 1e-30)))


@pytest.mark.parametrize(("semitones", "hertz"), [(0, 220), (12, 440), (-7, 220 * 2 ** (-7 / 12))])
def test_a_tone_keeps_its_pitch_and_its_loudness(semitones: float, hertz: float) -> None:
    sound = tone(220, 2.5, 24000)
    found, report = convert_audio(sound, 24000, whistling(), ConvertOptions(transpose=semitones, rms_mix=1))
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found)), 1 << 17))
    assert np.argmax(spectrum) * 4000 / (1 << 17) == pytest.approx(hertz, rel=1e-3)
    inside = found[1000:-1000]
    assert np.abs(inside).max() == pytest.approx(np.sqrt(np.square(sound).mean()), rel=0.05)
    assert report.voiced == 1
    assert report.warnings == ()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
@pytest.mark.parametrize("seconds", [0.00013, 0.0017, 0.05, 0.2, 0.998, 1.0, 1.01])
def test_the_result_is_as_long_as_the_recording(rate: int, seconds: float) -> None:
    sound = tone(220, seconds, rate)
    found, report = convert_audio(sound, rate, whistling(hop=400))
    assert abs(len(found) - len(sound) * 40000 / rate) <= 0.5
    assert report.seconds == len(sound) / rate
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", SPEECH)
@pytest.mark.parametrize("frames", [60, 100])
def test_the_length_of_the_windows_does_not_matter(recordings: Path, name: str, frames: int) -> None:
    sound, rate = speech(recordings, name)
    expected, _ = convert_audio(sound, rate, whistling(400), PLAIN)
    found, _ = convert_audio(sound, rate, whistling(frames), PLAIN)
    assert snr(expected, found) > 90


def test_a_real_network_barely_notices_the_windows(recordings: Path) -> None:
    """Its attention hears the whole window, so that windows of another length differ a little everywhere."""
    sound, rate = speech(recordings, "source_1.wav")
    expected, _ = convert_audio(sound, rate, random_voice(400), PLAIN)
    found, _ = convert_audio(sound, rate, random_voice(60), PLAIN)
    assert snr(expected, found) > 40


def joins(found: np.ndarray, pipeline: Pipeline) -> np.ndarray:
    """Which steps from sample to sample of a result are at joins."""
    at_joins = np.zeros(len(found) - 1, bool)
    for window in cover(-(-len(found) // pipeline.chain.hop), pipeline.chain.frames)[1:]:
        at_joins[(window.begin - FADE) * pipeline.chain.hop : (window.begin + FADE) * pipeline.chain.hop] = True
    return at_joins


def test_no_click_at_the_joins_of_a_tone() -> None:
    pipeline = whistling(hop=400)
    found, report = convert_audio(tone(220, 6, 24000), 24000, pipeline, PLAIN)
    steps, at_joins = np.abs(np.diff(found)), joins(found, pipeline)
    assert report.windows > 5
    assert steps[at_joins].max() <= 1.001 * steps[~at_joins].max()


@pytest.mark.parametrize(("voice", "name"), [*((whistling, name) for name in SPEECH), (random_voice, "source_1.wav")])
def test_no_click_at_the_joins_of_speech(recordings: Path, name: str, voice: Callable[[int], Pipeline]) -> None:
    """No larger step at the joins than where the networks speak the same in one piece."""
    cut, whole = voice(100), voice(400)
    found, report = convert_audio(*speech(recordings, name), cut, PLAIN)
    in_one_piece, _ = convert_audio(*speech(recordings, name), whole, PLAIN)
    at_joins = joins(found, cut) & ~joins(found, whole)
    assert report.windows > 5
    assert np.abs(np.diff(found))[at_joins].max() <= 1.01 * np.abs(np.diff(in_one_piece))[at_joins].max()


def test_a_seed_gives_the_same_result_and_another_does_not() -> None:
    sound, voice = tone(220, 1, 16000), random_voice()
    first, again, other = (convert_audio(sound, 16000, voice, ConvertOptions(seed=seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert snr(first, other) < 20


def test_the_result_takes_on_the_loudness_of_the_recording() -> None:
    """A voice that shouts all the time, and a recording whose second half is 40 dB softer."""
    sound = np.concatenate([tone(220, 4, 16000), tone(220, 4, 16000, 0.003)])
    shouting = whistling()
    features = np.ones((1, shouting.chain.frames // 2, 4), np.float32)
    shouting.runners["content"].run = lambda inputs: {"features": features}

    def drop(rms_mix: float) -> float:
        found, _ = convert_audio(sound, 16000, shouting, ConvertOptions(rms_mix=rms_mix))
        first, second = np.square(found[4000:12000]).mean(), np.square(found[20000:28000]).mean()
        return float(10 * np.log10(first / second))

    assert drop(1) == pytest.approx(0, abs=0.1)
    assert drop(0) == pytest.approx(40, abs=1)
    assert drop(0.25) == pytest.approx(30, abs=1)


def test_loud_recordings_are_turned_down_and_loud_results_limited() -> None:
    sound = tone(220, 1, 16000)
    expected, _ = convert_audio(sound * np.float32(0.95 / np.abs(sound).max()), 16000, whistling())
    found, _ = convert_audio(sound * 500, 16000, whistling())
    np.testing.assert_allclose(found, expected, atol=2e-4)
    voice = whistling()
    voice.runners["content"].run = lambda inputs: {"features": np.full((1, 50, 4), 7, np.float32)}
    found, report = convert_audio(sound, 16000, voice, PLAIN)
    assert np.abs(found).max() == pytest.approx(0.99)
    assert report.peak == pytest.approx(7, rel=0.01)


def test_silence_becomes_silence() -> None:
    found, report = convert_audio(np.zeros(30_000), 16000, random_voice())
    assert not found.any()
    assert report.warnings == ("the recording is silent",)
    assert report.voiced == 0
    found, _ = convert_audio(np.full(30_000, 0.3), 16000, random_voice())
    assert np.abs(found).max() < 1e-4


def test_a_whisper_is_spoken_without_a_pitch() -> None:
    sound = np.random.default_rng(0).standard_normal(30_000) * 0.05
    voice = whistling()
    found, report = convert_audio(sound, 16000, voice, PLAIN)
    assert not found.any()
    assert "nothing in the recording is voiced" in report.warnings[0]
    assert all((given["pitch"] == 1).all() for given in voice.runners["synthesizer"].given)
    found, _ = convert_audio(sound, 16000, random_voice())
    assert np.isfinite(found).all()
    assert found.any()


def test_recordings_without_samples() -> None:
    for nothing in (np.zeros(0), np.zeros((0, 2)), np.zeros(1)):
        with pytest.raises(AudioError, match="nothing to convert"):
            convert_audio(nothing, 96000, whistling())


def test_what_the_voice_cannot_do() -> None:
    sound = tone(220, 0.1, 16000)
    with pytest.raises(RecipeError, match="speakers 0 to 1"):
        convert_audio(sound, 16000, whistling(), ConvertOptions(speaker=2))
    with pytest.raises(RecipeError, match="this voice has pm"):
        convert_audio(sound, 16000, whistling(), ConvertOptions(f0="psychic"))
    _, report = convert_audio(sound, 16000, whistling(uses_f0=False), ConvertOptions(transpose=3))
    assert "transposing changes nothing" in report.warnings[0]
    assert report.voiced is None


def test_files(tmp_path: Path) -> None:
    """Stereo, 8 bits, 96 kHz in; 16 bits mono out, the same as from the array."""
    sound = np.stack([tone(220, 1.5, 96000), np.zeros(144_000, np.float32)], axis=1)
    soundfile.write(tmp_path / "in.wav", sound, 96000, "PCM_U8")
    ticks: list[tuple[str, float, float]] = []
    report = convert_file(
        tmp_path / "in.wav", tmp_path / "out.flac", whistling(), tick=lambda *tick: ticks.append(tick)
    )
    found, rate = soundfile.read(tmp_path / "out.flac", dtype="float32")
    expected, _ = convert_audio(soundfile.read(tmp_path / "in.wav", dtype="float32")[0], 96000, whistling())
    assert rate == 4000
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav", "out.flac"]
    steps = ["read", "resample", "filter", "scratch", "f0", "content", "retrieval", "noise", "synthesizer", "join"]
    assert list(report.steps) == [*steps, "loudness", "write"]
    assert list(dict.fromkeys(step for step, _, _ in ticks)) == ["analyse", "convert", "write"]
    assert all(0 < done <= total == 1.5 for _, done, total in ticks)
    assert ticks[-1] == ("write", 1.5, 1.5)


def test_failures_leave_nothing_behind(tmp_path: Path) -> None:
    sound = tone(220, 1, 16000)
    sound[9000] = np.nan
    soundfile.write(tmp_path / "in.wav", sound, 16000, "FLOAT")
    with pytest.raises(AudioError, match="sample 9000"):
        convert_file(tmp_path / "in.wav", tmp_path / "out.wav", whistling())
    with pytest.raises(OutputError, match="make it first"):
        convert_file(tmp_path / "in.wav", tmp_path / "nowhere" / "out.wav", whistling())
    with pytest.raises(AudioError, match="No such file"):
        convert_file(tmp_path / "missing.wav", tmp_path / "out.wav", whistling())
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]
