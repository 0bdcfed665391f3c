from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import RATE, noise_like, syllables
from voxc.compiler.measure.quality.clips import Unmeasurable
from voxc.compiler.measure.quality.pesq import how, pesq

SPEECH = syllables()


def test_equal_audio_has_the_best_score_there_is() -> None:
    assert pesq((SPEECH, SPEECH)) == pytest.approx(4.644, abs=1e-3)


def test_more_noise_is_worse() -> None:
    scores = [pesq((SPEECH, SPEECH + noise_like(SPEECH, decibels))) for decibels in (60, 40, 20, 0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 3
    assert 1 < scores[-1] < 1.5


def test_nothing_to_compare() -> None:
    with pytest.raises(Unmeasurable, match="silent"):
        pesq((SPEECH, np.zeros_like(SPEECH)))
    with pytest.raises(Unmeasurable, match="PESQ found nothing"):
        pesq((SPEECH[: RATE // 8], SPEECH[: RATE // 8]))


def test_how_names_the_library_and_its_version() -> None:
    assert "pesq 0." in how()
