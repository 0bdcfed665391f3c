from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.audio.sound import SoundFile
from voxc.compiler.core.errors import AudioError


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0", r"is MPEG-4 .*; make a WAV of it: ffmpeg -i '.*a b\.m4a' recording\.wav"),
        (b"\x1aE\xdf\xa3", r"is Matroska or WebM.*ffmpeg"),
        (b"RIFF\x10\x10\0\0AVI LIST", r"is a video \(AVI\).*ffmpeg"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer.*git lfs pull"),
        (b"\x00\x05\x16\x07\x00\x02", "AppleDouble"),
        (b"\n<!DOCTYPE html>", "is no recording, but a web page"),
        (b"nothing known", "not a recording that libsndfile reads .*ffmpeg"),
    ],
)
def test_what_a_file_is_and_what_to_do(tmp_path: Path, head: bytes, complaint: str) -> None:
    (tmp_path / "a b.m4a").write_bytes(head + bytes(2000))
    with pytest.raises(AudioError, match=complaint) as failure:
        SoundFile(tmp_path / "a b.m4a")
    assert "\n" not in str(failure.value)
