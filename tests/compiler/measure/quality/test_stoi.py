from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import RATE, noise_like, syllables
from voxc.compiler.measure.quality.clips import Unmeasurable
from voxc.compiler.measure.quality.stoi import how, stoi

SPEECH = syllables()


def test_equal_audio() -> None:
    assert stoi((SPEECH, SPEECH)) == pytest.approx(1, abs=1e-6)


def test_loudness_does_not_matter() -> None:
    assert stoi((SPEECH, 0.3 * SPEECH)) == pytest.approx(1, abs=1e-6)


def test_more_noise_is_worse() -> None:
    scores = [stoi((SPEECH, SPEECH + noise_like(SPEECH, decibels))) for decibels in (30, 15, 0, -15)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.8
    assert scores[-1] < 0.5


def test_too_little_to_work_on() -> None:
    brief = np.zeros(RATE, np.float32)
    brief[:3000] = SPEECH[4000:7000]
    with pytest.raises(Unmeasurable, match="is not silence"):
        stoi((brief, brief))


def test_how_names_the_library_and_its_version() -> None:
    assert "pystoi 0." in how()
