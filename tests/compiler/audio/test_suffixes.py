from __future__ import annotations

from pathlib import Path

import soundfile

from voxc.compiler.audio.suffixes import SUFFIXES, recordings_in


def test_hidden_files_and_others_are_passed_over(tmp_path: Path) -> None:
    for name in ("b.WAV", "a.flac", "._a.flac", ".wav", "notes.txt", "a"):
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert [path.name for path in recordings_in(tmp_path)] == ["a.flac", "b.WAV"]


def test_all_that_libsndfile_reads_but_what_has_no_header() -> None:
    assert {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} <= SUFFIXES
