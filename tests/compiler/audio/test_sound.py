from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.compiler.runtime.standins import tone
from voxc.compiler.audio.sound import Resampler, SoundArray, SoundFile, lone_channel
from voxc.compiler.core.errors import AudioError


def read(path: Path) -> np.ndarray:
    with SoundFile(path) as file:
        return np.concatenate(list(file.blocks()))


@pytest.mark.parametrize(
    ("suffix", "coding", "error"),
    [("wav", "PCM_U8", 1e-2), ("wav", "PCM_24", 1e-6), ("wav", "DOUBLE", 1e-7), ("flac", "PCM_16", 1e-4),
     ("aiff", "PCM_16", 1e-4), ("ogg", "VORBIS", 5e-2)],
)  # fmt: skip
def test_formats(tmp_path: Path, suffix: str, coding: str, error: float) -> None:
    sound = tone(200, 0.5, 16000)
    soundfile.write(tmp_path / f"a.{suffix}", sound, 16000, coding)
    np.testing.assert_allclose(read(tmp_path / f"a.{suffix}"), sound, atol=error)


def test_channels_are_averaged(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-1, 1, (100_000, 6)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", channels, 48000, "FLOAT")
    np.testing.assert_allclose(read(tmp_path / "a.wav"), channels.mean(axis=1), atol=1e-6)


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not audio " * 100)
    (tmp_path / "headerless.raw").write_bytes(bytes(1000))
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 100)
    complaints = {
        "missing.wav": "No such file",
        "": "is a directory",
        "empty.wav": "empty file",
        "text.wav": "not a recording",
        "headerless.raw": "not a recording",
        "slow.wav": "100 Hz",
    }
    for name, complaint in complaints.items():
        with pytest.raises(AudioError, match=complaint) as failure:
            SoundFile(tmp_path / name)
        assert str(tmp_path / name) in str(failure.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_sound(tmp_path: Path, value: float) -> None:
    sound = np.zeros((80_000, 2), np.float32)
    sound[70_000:, 1] = value
    soundfile.write(tmp_path / "a.wav", sound, 16000, "FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: sample 70000 \(at 4\.375 s\) is .*inf|nan|1e\+30"):
        read(tmp_path / "a.wav")


def test_a_channel_that_cancels_the_other_is_heard_alone(tmp_path: Path) -> None:
    sound = tone(200, 1, 16000)
    both = np.stack([0.1 - 0.9 * sound, 0.1 + sound], axis=1)
    soundfile.write(tmp_path / "a.wav", both, 16000, "FLOAT")
    with SoundFile(tmp_path / "a.wav") as file:
        np.testing.assert_array_equal(np.concatenate(list(file.blocks())), both[:, 1].astype(np.float32))
    array = SoundArray(both, 16000)
    np.testing.assert_array_equal(np.concatenate(list(array.blocks())), both[:, 1].astype(np.float32))
    for warnings in (file.warnings, array.warnings):
        assert warnings == ["the channels of the recording cancel each other out: channel 2 alone is heard"]


@pytest.mark.parametrize("channels", [2, 6])
def test_one_channel_of_several_or_silence_is_no_cancellation(channels: int) -> None:
    sound = np.zeros((16_000, channels), np.float32)
    assert SoundArray(sound, 16000).channel is None
    sound[:, 0] = tone(200, 1, 16000)
    assert SoundArray(sound, 16000).channel is None


def test_what_a_damaged_file_still_holds_is_worth_a_command(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a b.flac", np.random.default_rng(0).uniform(-1, 1, 200_000), 16000)
    whole = (tmp_path / "a b.flac").read_bytes()
    (tmp_path / "a b.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        AudioError, match=r"decoded after \d\.\d\d s of 12\.50 s .*: ffmpeg -i '.*a b\.flac' recording\.wav"
    ):
        read(tmp_path / "a b.flac")


def test_names_of_any_bytes(tmp_path: Path) -> None:
    name = tmp_path / os.fsdecode(b"b\xe9te.wav")
    soundfile.write(tmp_path / "a.wav", tone(200, 0.1, 16000), 16000)
    (tmp_path / "a.wav").rename(name)
    assert len(read(name)) == 1600


def test_arrays_are_floats_of_one_or_two_axes() -> None:
    for wrong in (np.zeros(10, np.int16), np.zeros((2, 2, 2)), np.zeros(())):
        with pytest.raises(AudioError, match="give floats"):
            SoundArray(wrong, 16000)
    with pytest.raises(AudioError, match="1000000 Hz"):
        SoundArray(np.zeros(10), 1_000_000)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 96000])
def test_resampling_in_blocks_is_resampling_at_once(rate: int) -> None:
    sound = np.random.default_rng(0).standard_normal(rate + 17).astype(np.float32)
    resampler = Resampler(rate, 16000)
    found = [resampler.push(sound[start : start + 999]) for start in range(0, len(sound), 999)]
    found.append(resampler.push(sound[:0], last=True))
    expected = soxr.resample(sound, rate, 16000, "VHQ")
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert len(expected) == pytest.approx(len(sound) * 16000 / rate, abs=0.5)


@pytest.mark.parametrize(("polarity", "read"), [(1, 1), (-1, 8)])
def test_channels_are_listened_to_no_longer_than_it_takes(polarity: int, read: int) -> None:
    """A long recording is not decoded twice only because it is stereo."""
    tone = (0.1 * np.sin(np.arange(1000) / 7)).astype(np.float32)
    blocks = iter([np.stack([tone, polarity * tone], 1)] * 8)
    assert lone_channel(blocks) == (None if polarity > 0 else 0)
    assert len(list(blocks)) == 8 - read


def test_quiet_sound_does_not_decide_about_channels() -> None:
    tone = (0.1 * np.sin(np.arange(1000) / 7)).astype(np.float32)
    hum = np.stack([tone, tone], 1) / 1000
    assert lone_channel([hum, np.stack([2 * tone, -2 * tone * 0.9], 1)]) == 0
