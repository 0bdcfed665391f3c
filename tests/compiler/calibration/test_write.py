from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Voxc
from tests.voices import write_tone
from voxc.compiler.calibration.write import write_samples
from voxc.compiler.core.errors import OutputError, RecipeError
from voxc.compiler.core.tensor import read_npz


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    write_tone(folder / "low.wav", 120, 2.0)
    write_tone(folder / "high.wav", 240, 2.0)
    return folder


def test_rows_are_segments(speaking_voice: Path, recordings: Path, tmp_path: Path) -> None:
    output = tmp_path / "calib.npz"
    written = write_samples(speaking_voice, recordings, output, segment=0.5, segments=4, transpose=12)
    arrays = read_npz(output)
    assert {key: array.shape for key, array in arrays.items()} == written.tensors
    assert written.frames == 50
    assert arrays["synthesizer/phone"].shape == (4, 1, 50, 256)
    assert arrays["content/audio"].shape == (4, 1, 25 * 320 + 80)
    hertz = arrays["synthesizer/nsff0"]
    assert hertz[hertz > 0].max() > 400
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["calib.npz"]


def test_the_same_recordings_give_the_same_file(speaking_voice: Path, recordings: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_samples(speaking_voice, recordings, tmp_path / f"{name}.npz", frames=50)
    one, two = (read_npz(tmp_path / f"{name}.npz") for name in ("one", "two"))
    assert all((one[key] == two[key]).all() for key in one)


def test_mistakes_are_found_before_the_work(speaking_voice: Path, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    for output, complaint in {
        recordings / "low.wav": "samples are written as .npz",
        tmp_path / "folder.npz": "is a directory",
        tmp_path / "none" / "calib.npz": "there is no directory",
    }.items():
        with pytest.raises(OutputError, match=complaint):
            write_samples(Path("no voice"), recordings, output)
    with pytest.raises(RecipeError, match="say the same thing twice"):
        write_samples(speaking_voice, recordings, tmp_path / "calib.npz", frames=50, segment=1)
    with pytest.raises(RecipeError, match="multiples of 2 frames"):
        write_samples(speaking_voice, recordings, tmp_path / "calib.npz", frames=51)
    with pytest.raises(RecipeError, match="speaker 7"):
        write_samples(speaking_voice, recordings, tmp_path / "calib.npz", frames=50, speaker=7)
    assert not (tmp_path / "calib.npz").exists()


def test_on_the_command_line(voxc: Voxc, speaking_voice: Path, recordings: Path, tmp_path: Path) -> None:
    output = tmp_path / "calib.npz"
    given = ("calibrate", speaking_voice, "--audio", recordings / "low.wav", "-o", output, "--frames", 50)
    result = voxc(*given, "--segments", 2)
    assert result.exit_code == 0, result.stderr
    assert f"{output}: low.wav, 2 segments of 0.5 s" in result.stdout
    assert "synthesizer/phone  [2, 1, 50, 256]" in result.stdout
    assert "voxc: warning: 2 samples of the synthesizer (1 s) is too little" in result.stderr
    assert "listening to low.wav" in result.stderr
    result = voxc(*given, "--json")
    document = json.loads(result.stdout)
    assert document["tensors"]["synthesizer/sid"] == [4, 1]
    assert document["frames"] == 50
    result = voxc("calibrate", speaking_voice, "--audio", tmp_path / "none.wav", "-o", output)
    assert result.exit_code == 2
    assert "voxc: error: " in result.stderr
    assert "none.wav" in result.stderr


def test_help_has_an_example(voxc: Voxc) -> None:
    assert "Example: voxc calibrate voice.pth" in voxc("calibrate", "--help").stdout
