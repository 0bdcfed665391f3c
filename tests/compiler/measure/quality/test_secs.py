from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import RATE
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.clips import Clip, Unmeasurable
from voxc.compiler.measure.quality.secs import embedding, encoder, how, similarity

Recording = Callable[[str], tuple[Array, int]]
NAMES = ("source_1", "source_2", "reference_1", "reference_2")


def test_a_speaker_is_nearer_to_himself_than_to_others(recording: Recording) -> None:
    halves = []
    for name in NAMES:
        samples, rate = recording(name)
        middle = samples.size // 2
        halves.append([embedding([Clip(name, half, rate)]) for half in (samples[:middle], samples[middle:])])
    own = [similarity(first, second) for first, second in halves]
    others = [similarity(halves[a][0], halves[b][1]) for a in range(4) for b in range(4) if a != b]
    assert min(own) > max(others) + 0.05
    assert min(own) > 0.75


def test_equal_audio_at_any_loudness(recording: Recording) -> None:
    samples, rate = recording("source_1")
    whole = embedding([Clip("it", samples, rate)])
    assert similarity(whole, whole) == pytest.approx(1, abs=1e-6)
    assert similarity(whole, embedding([Clip("it", 0.2 * samples, rate)])) > 0.999


def test_recordings_of_one_speaker_are_taken_together(recording: Recording) -> None:
    clips = [Clip(name, *recording(name)) for name in NAMES[2:]]
    together = embedding(clips)
    assert np.linalg.norm(together) == pytest.approx(1, abs=1e-5)
    assert all(similarity(together, embedding([clip])) > 0.85 for clip in clips)


def test_no_speech() -> None:
    clicks = np.zeros(2 * RATE, np.float32)
    clicks[::RATE] = 0.5
    with pytest.raises(Unmeasurable, match=r"the clock has less than 0.5 s of speech"):
        embedding([Clip("the clock", clicks, RATE)])
    with pytest.raises(Unmeasurable, match="no recording of the target"):
        embedding([])


def test_the_encoder_is_loaded_once_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    encoder.cache_clear()
    assert encoder() is encoder()
    assert capsys.readouterr() == ("", "")


def test_how_names_the_library_and_its_version() -> None:
    assert "resemblyzer 0." in how()
