from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.compiler.runtime.standins import tone
from voxc.compiler.audio import sound as module
from voxc.compiler.audio.sound import Resampler, SoundArray, SoundFile, check_output, write_sound
from voxc.compiler.core.errors import AudioError, OutputError


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


def test_a_truncated_file_gives_what_it_has(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(200, 1, 16000), 16000)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    assert len(read(tmp_path / "a.wav")) == pytest.approx(8000, abs=32)


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


@pytest.mark.parametrize(("suffix", "error"), [(".wav", 1e-4), (".flac", 1e-4), (".OGG", 5e-2)])
def test_written_as_the_suffix_says(tmp_path: Path, suffix: str, error: float) -> None:
    sound = tone(200, 0.5, 40000)
    write_sound(tmp_path / f"out{suffix}", [sound[:7000], sound[7000:]], 40000, len(sound))
    info = soundfile.info(tmp_path / f"out{suffix}")
    assert (info.format, info.samplerate, info.channels) == (suffix[1:].upper(), 40000, 1)
    np.testing.assert_allclose(soundfile.read(tmp_path / f"out{suffix}")[0], sound, atol=error)


def test_long_recordings_become_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAV_LIMIT", 1000)
    write_sound(tmp_path / "out.wav", [np.zeros(501, np.float32)], 40000, 501)
    assert soundfile.info(tmp_path / "out.wav").format == "RF64"


def test_nothing_half_written(tmp_path: Path) -> None:
    def blocks() -> object:
        yield np.zeros(100_000, np.float32)
        raise KeyboardInterrupt

    (tmp_path / "out.wav").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_sound(tmp_path / "out.wav", blocks(), 40000, 200_000)
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]
    assert (tmp_path / "out.wav").read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    source.touch()
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to(source)
    complaints = {
        "out.xyz": r"\.wav, \.flac, \.ogg",
        "out": r"\.wav, \.flac, \.ogg",
        "folder.wav": "is a directory",
        "nowhere/out.wav": "make it first",
        "in.wav": "is the recording to convert",
        "link.wav": "is the recording to convert",
    }
    for name, complaint in complaints.items():
        with pytest.raises(OutputError, match=complaint):
            check_output(tmp_path / name, source)
    check_output(tmp_path / "out.wav", source)


def test_a_wav_file_that_was_cut_off_warns(tmp_path: Path) -> None:
    """libsndfile plays what is there."""
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.ones(16000), 16000)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 4000])
    with SoundFile(path) as file:
        assert len(np.concatenate(list(file.blocks()))) == 4000
        (warning,) = file.warnings
    assert "ends after 0.25 s, and says that it has 1.00 s: 75 % of it is missing" in warning


@pytest.mark.parametrize("size", [0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_file_of_a_stream_does_not_say_how_long_it_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.ones(16000), 16000)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    with SoundFile(path) as file:
        assert len(np.concatenate(list(file.blocks()))) == 16000
        assert not file.warnings


def test_a_wav_file_whose_samples_its_header_denies_warns(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.ones(16000), 16000)
    content = bytearray(path.read_bytes())
    content[40:44] = bytes(4)
    path.write_bytes(content)
    with SoundFile(path) as file:
        assert not list(file.blocks())
        assert "100 % of it is missing" in file.warnings[0]


def test_whole_files_do_not_warn(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac", ".ogg", ".mp3", ".aiff"):
        path = tmp_path / f"a{suffix}"
        soundfile.write(path, 0.1 * np.sin(np.arange(16000) / 9), 16000)
        with SoundFile(path) as file:
            assert list(file.blocks())
            assert not file.warnings, suffix


def test_a_pipe_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(16000), 16000)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes((tmp_path / "a.wav").read_bytes()))
    writer.start()
    with SoundFile(pipe) as file:
        assert len(np.concatenate(list(file.blocks()))) == 16000
    writer.join()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "an MPEG-4 file.*ffmpeg -i IN OUT.wav"),
        (b"\x1aE\xdf\xa3" + bytes(100), "a Matroska or WebM file"),
        (b"<!doctype html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_what_people_take_for_recordings(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=f"a.wav: {complaint}"):
        SoundFile(tmp_path / "a.wav")
