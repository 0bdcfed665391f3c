from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.compiler.runtime.standins import tone
from voxc.compiler.audio import write as module
from voxc.compiler.audio.write import FORMATS, check_output, write_sound
from voxc.compiler.core.errors import OutputError, RecipeError


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
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to(source)
    complaints = {
        "out.xyz": r"\.wav, \.flac, \.ogg, \.mp3",
        "out": r"\.wav, \.flac, \.ogg, \.mp3",
        "pipe.wav": "pipe or a device",
        "folder.wav": "is a directory",
        "nowhere/out.wav": "make it first",
        "in.wav": "is the recording to convert",
        "link.wav": "is the recording to convert",
    }
    for name, complaint in complaints.items():
        with pytest.raises(OutputError, match=complaint):
            check_output(tmp_path / name, source)
    check_output(tmp_path / "out.wav", source)


@pytest.mark.parametrize("name", FORMATS)
def test_formats_by_name(tmp_path: Path, name: str) -> None:
    chosen = FORMATS[name]
    output = tmp_path / f"out{chosen.suffix}"
    write_sound(output, [tone(200, 0.5, 40000)], 40000, 20_000, name)
    info = soundfile.info(output)
    assert (info.format, info.subtype) == (chosen.container, chosen.coding)
    assert info.samplerate == (44_100 if name == "mp3" else 40_000)
    assert info.duration == pytest.approx(0.5, abs=0.001)


def test_formats_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"--format flac is written as \.flac"):
        check_output(tmp_path / "out.wav", form="flac")
    with pytest.raises(RecipeError, match="the formats are wav16, wav24"):
        check_output(tmp_path / "out.wav", form="wav8")


def test_a_name_of_any_bytes(tmp_path: Path) -> None:
    output = tmp_path / os.fsdecode(b"o\xe9.wav")
    write_sound(output, [np.zeros(100, np.float32)], 16000, 100)
    assert output.stat().st_size == 244
