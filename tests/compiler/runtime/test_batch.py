from __future__ import annotations

import threading
from pathlib import Path

import pytest
import soundfile

from tests.compiler.runtime.standins import tone, whistling
from voxc.compiler.core.errors import AudioError, OutputError, RecipeError
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.runtime.batch import Item, convert_files, find_sources, plan_outputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "more").mkdir(parents=True)
    for name in ("b.wav", "a.flac", "more/c.wav", "more/b.wav", "odd [1].wav"):
        soundfile.write(folder / name, tone(220, 0.4, 16000), 16000)
    for name in ("._b.wav", "notes.txt", "more/.d.wav"):
        (folder / name).touch()
    return folder


def names(folder: Path, *sources: str) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_sources([str(folder / each) for each in sources])]


def test_files_directories_and_patterns(folder: Path) -> None:
    assert names(folder, "") == ["a.flac", "b.wav", "odd [1].wav"]
    assert names(folder, "b.wav", "*.wav", "more/*") == ["b.wav", "odd [1].wav", "more/b.wav", "more/c.wav"]
    assert names(folder, "**/b.*") == ["b.wav", "more/b.wav"]
    assert names(folder, "odd [1].wav") == ["odd [1].wav"]
    (folder / "talk.m4a").touch()
    assert "talk.m4a" in names(folder, ""), "what cannot be read is named, and not passed over"


def test_names_of_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    complaints = {
        "nosuch.wav": "no such file",
        "*.ogg": "no recording has such a name",
        "../empty": "without recordings",
    }
    for name, complaint in complaints.items():
        with pytest.raises(AudioError, match=complaint):
            find_sources([str(folder / name)])


def test_results_have_the_names_of_the_recordings() -> None:
    sources = [Path("x/a.wav"), Path("x/b.wav"), Path("x/b.flac"), Path("x/-c.wav")]
    outputs = [item.output.name for item in plan_outputs(sources, Path("out"), "flac")]
    assert outputs == ["a.flac", "b.wav.flac", "b.flac.flac", "c.flac"]


def test_no_result_takes_the_place_of_another_or_of_a_recording() -> None:
    with pytest.raises(OutputError, match=r"out/a\.wav\.wav: would be made of x/a\.wav and of y/a\.wav"):
        plan_outputs([Path("x/a.wav"), Path("y/a.wav")], Path("out"), "wav16")
    with pytest.raises(OutputError, match=r"x/a\.wav: is a recording to convert"):
        plan_outputs([Path("x/a.wav")], Path("x"), "wav24")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_file_is_named_and_the_rest_is_done(folder: Path, tmp_path: Path, jobs: int) -> None:
    (folder / "b.wav").write_bytes(b"RIFF")
    out = tmp_path / "out"
    out.mkdir()
    items = plan_outputs(find_sources([str(folder)]), out, "wav24")
    outcomes = {
        outcome.item.source.name: outcome for outcome in convert_files(items, [whistling() for _ in range(jobs)])
    }
    assert set(outcomes) == {"a.flac", "b.wav", "odd [1].wav"}
    assert outcomes["b.wav"].report is None
    assert outcomes["b.wav"].error.startswith(f"{folder / 'b.wav'}: not a recording")
    assert outcomes["a.flac"].report is not None
    assert outcomes["a.flac"].report.seconds == 0.4
    assert sorted(path.name for path in out.iterdir()) == ["a.wav", "odd [1].wav"]


def test_options_are_checked_once(folder: Path) -> None:
    with pytest.raises(RecipeError, match="speakers 0 to 1"):
        next(convert_files([Item(folder / "b.wav", folder / "c.wav")], [whistling()], ConvertOptions(speaker=7)))


def test_giving_up_ends_what_is_going_on(folder: Path, tmp_path: Path) -> None:
    before = threading.active_count()
    items = [Item(folder / "b.wav", tmp_path / f"{number}.wav") for number in range(50)]
    outcomes = convert_files(items, [whistling(), whistling()])
    next(outcomes)
    outcomes.close()
    assert len(list(tmp_path.glob("*.wav"))) < 50
    assert not list(tmp_path.glob(".voxc*"))
    assert threading.active_count() == before
