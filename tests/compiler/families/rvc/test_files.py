from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.rvc.files import VoiceFiles, demo_sample, find_voice


def test_a_checkpoint_stands_alone(voice_file: Path) -> None:
    assert find_voice(voice_file) == VoiceFiles(voice_file)


def test_a_directory_is_looked_through(speaking_voice: Path) -> None:
    found = find_voice(speaking_voice)
    assert found.checkpoint == speaking_voice / "tiny.pth"
    assert found.content == speaking_voice / "content"
    assert found.index == speaking_voice / "tiny.index"
    assert found.sample == speaking_voice / "sample.wav"
    assert found.speakers == ((0, speaking_voice / "speakers" / "0.wav"),)
    assert list(found.digested()) == ["checkpoint", "content", "index"]


def test_what_is_given_goes_before_what_is_found(speaking_voice: Path, tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    found = find_voice(speaking_voice, tmp_path / "content", tmp_path / "other.index")
    assert (found.content, found.index) == (tmp_path / "content", tmp_path / "other.index")
    assert found.sample == speaking_voice / "sample.wav"


def test_a_directory_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="without a checkpoint"):
        find_voice(tmp_path)


@pytest.mark.parametrize("suffix", [".pth", ".index"])
def test_several_of_a_kind_are_not_chosen_among(tmp_path: Path, suffix: str) -> None:
    for name in ("a.pth", f"b{suffix}", f"c{suffix}"):
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=f"more than one .*b{suffix}, c{suffix}"):
        find_voice(tmp_path)


def test_the_bundled_voice_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name is no voice unless there is a checkpoint in it."""
    monkeypatch.chdir(tmp_path)
    bundled = find_voice(Path("demo"))
    assert bundled.checkpoint.is_file()
    assert bundled.sample == demo_sample()
    (tmp_path / "demo").mkdir()
    assert find_voice(Path("demo")) == bundled
    (tmp_path / "demo" / "mine.pth").touch()
    assert find_voice(Path("demo")) == VoiceFiles(Path("demo/mine.pth"))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nobody.pth: no such file"):
        find_voice(tmp_path / "nobody.pth")


def test_hidden_files_and_notes_are_passed_over(speaking_voice: Path, tmp_path: Path) -> None:
    """macOS puts a `._NAME` beside each file that it copies to other file systems."""
    voice = tmp_path / "voice"
    shutil.copytree(speaking_voice, voice)
    for path in [path for path in voice.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    for note in ("sample.txt", "speakers/0.txt", "speakers/1.txt"):
        (voice / note).touch()
    found = find_voice(voice)
    assert found.checkpoint == voice / "tiny.pth"
    assert found.index == voice / "tiny.index"
    assert found.sample == voice / "sample.wav"
    assert found.speakers == ((0, voice / "speakers" / "0.wav"),)


def test_the_files_of_other_tools_beside_a_voice(tmp_path: Path) -> None:
    for name in ("voice.pth", "hubert_base.pt", "rmvpe.pt", "added_IVF1_Flat_nprobe_1_voice_v2.index"):
        (tmp_path / name).touch()
    found = find_voice(tmp_path)
    assert (found.checkpoint.name, found.content) == ("voice.pth", tmp_path / "hubert_base.pt")
    assert list(found.digested()) == ["checkpoint", "content", "index", "rmvpe"]
    assert find_voice(tmp_path / "voice.pth", tmp_path / "hubert_base.pt").depends() == ()
