from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.compiler.runtime.standins import tone
from voxc.compiler.audio.sound import SoundFile

SOUND = tone(200, 3, 16000)


def warnings_of(path: Path) -> tuple[int, list[str]]:
    with SoundFile(path) as file:
        return sum(map(len, file.blocks())), file.warnings


@pytest.mark.parametrize(
    ("form", "coding"),
    [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "IMA_ADPCM"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
     ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_a_warning_says_how_much_is_missing(tmp_path: Path, form: str, coding: str) -> None:
    path = tmp_path / "a"
    soundfile.write(path, SOUND, 16000, coding, format=form)
    assert warnings_of(path)[1] == []
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    samples, (warning,) = warnings_of(path)
    said = re.fullmatch(r"the recording is cut off: (.+) s of (.+) s are missing \((.+)%\)", warning)
    assert said
    lost, seconds, share = map(float, said.groups())
    assert seconds == pytest.approx(3, abs=0.1)
    assert lost == pytest.approx(seconds - samples / 16000, abs=0.01)
    assert share == pytest.approx(100 * lost / seconds, abs=1)
    assert 40 < share < 60


def test_an_ogg_file_does_not_say_how_much(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 300_000), 16000)
    assert warnings_of(path)[1] == []
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    samples, warnings = warnings_of(path)
    assert 100_000 < samples < 300_000
    assert warnings == ["the recording is cut off: its end is missing, and the file does not say how much"]
