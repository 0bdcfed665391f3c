from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import noise_like, syllables
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.clips import Clip, speech_pieces
from voxc.compiler.measure.quality.mos import how, mos


def test_clean_speech_is_above_noisy_speech(recording: Callable[[str], tuple[Array, int]]) -> None:
    samples, rate = recording("source_2")
    (speech,) = speech_pieces(Clip("it", samples[: 3 * rate], rate))
    scores = [mos(np.clip(speech + noise_like(speech, decibels), -1, 1)) for decibels in (60, 15, 0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 2.8
    assert scores[-1] < 1.8


def test_a_full_window_is_scored_as_speechmos_does(recording: Callable[[str], tuple[Array, int]]) -> None:
    from speechmos import dnsmos

    samples, rate = recording("source_2")
    (speech,) = speech_pieces(Clip("it", np.resize(samples, 10 * rate), rate))
    assert mos(speech) == dnsmos.run(speech, 16000)["ovrl_mos"]
    short = speech[: 6 * 16000]
    assert mos(short) == pytest.approx(dnsmos.run(short, 16000)["ovrl_mos"], abs=0.1)


def test_any_length_has_a_score() -> None:
    for seconds in (0.5, 9.01):
        assert 1 <= mos(syllables(seconds)) <= 5


def test_how_names_the_library_and_its_version() -> None:
    assert "speechmos 0." in how()


def test_audio_over_full_scale_is_no_error() -> None:
    (piece,) = speech_pieces(Clip("it", 8 * syllables(1), 44100 // 2))
    assert np.isfinite(mos(piece))


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    mos(syllables(1))  # librosa and the network are loaded once, and not in the first test's time
