from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.compiler.measure.quality.signals import RATE, glide, hum
from voxc.compiler.measure.quality.clips import (
    MOST_PIECES,
    Clip,
    Unmeasurable,
    common_seconds,
    mean_over,
    measured_span,
    raw_pieces,
    spans,
    speech_pairs,
    speech_pieces,
)

TONE = hum(glide())


@pytest.mark.parametrize(("seconds", "count"), [(0.3, 1), (10, 1), (10.5, 2), (60, 6), (1800, MOST_PIECES)])
def test_pieces_lie_side_by_side_or_spread_to_both_ends(seconds: float, count: int) -> None:
    pieces = spans(seconds)
    assert len(pieces) == count
    assert pieces[0][0] == 0
    assert pieces[-1][1] == pytest.approx(seconds)
    assert {round(end - start, 9) for start, end in pieces} == {round(min(seconds / count, 10), 9)}
    assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(pieces))


def test_audio_is_brought_to_16_khz() -> None:
    high, low = (np.sin(2 * np.pi * 440 * np.arange(rate) / rate) / 2 for rate in (44100, RATE))
    (piece,) = speech_pieces(Clip("it", high, 44100))
    np.testing.assert_allclose(piece[800:-800], low[800:-800], atol=1e-3)


def test_pairs_of_other_rates_are_equally_long() -> None:
    longer = Clip("a", hum(glide(seconds=2.1, rate=44100), 44100), 44100)
    ((first, second),) = speech_pairs(longer, Clip("b", TONE, RATE))
    assert first.size == second.size == TONE.size


def test_pieces_where_the_reference_is_silent_are_left_out() -> None:
    half = np.concatenate([hum(glide(seconds=10)), np.zeros(10 * RATE, np.float32)])
    whole = hum(glide(seconds=20))
    assert len(speech_pairs(Clip("a", half, RATE), Clip("b", whole, RATE))) == 1
    assert len(speech_pairs(Clip("b", whole, RATE), Clip("a", half, RATE))) == 2


def test_a_loud_spot_between_the_pieces() -> None:
    spot = np.zeros(100 * RATE, np.float32)
    spot[14 * RATE : 15 * RATE] = 0.5
    with pytest.raises(Unmeasurable, match="in all measured pieces"):
        speech_pieces(Clip("it", spot, RATE))


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(0), "empty"),
        (TONE[:160], "0.01 s long"),
        (np.zeros(RATE), "it is silent"),
        (np.where(np.arange(RATE) == 99, np.nan, 0.1), "not finite"),
        (np.where(np.arange(RATE) == 99, np.inf, 0.1), "not finite"),
    ],
)
def test_unusable_audio(samples: np.ndarray, reason: str) -> None:
    with pytest.raises(Unmeasurable, match=reason):
        Clip("it", samples, RATE).check()


def test_half_as_long_is_still_the_same_utterance_and_less_is_not() -> None:
    whole = Clip("the source", TONE, RATE)
    assert common_seconds(whole, Clip("b", TONE[:RATE], RATE)) == 1
    with pytest.raises(Unmeasurable, match="the source is 2.00 s long and b 0.90 s"):
        common_seconds(whole, Clip("b", TONE[: int(0.9 * RATE)], RATE))


def test_raw_pieces_are_the_samples_themselves() -> None:
    first, second = raw_pieces(Clip("a", TONE, RATE), Clip("b", -TONE[:-10], RATE))
    np.testing.assert_array_equal(first[0], TONE[:-10])
    np.testing.assert_array_equal(second[0], -TONE[:-10])


def test_what_part_was_measured_is_told() -> None:
    def clip(seconds: float) -> Clip:
        return Clip("it", np.ones(round(seconds * 100)), 100)

    assert measured_span(clip(20), clip(20.05)) == ""
    assert measured_span(clip(5), clip(6)) == ", over the first 5.00 s, which both have"
    assert measured_span(clip(90)) == ", over 6 pieces of 10 s, evenly spread over 90.0 s"


def test_a_mean_leaves_out_pieces_that_lack_something() -> None:
    def metric(value: float) -> float:
        if value < 0:
            raise Unmeasurable("negative")
        return value

    assert mean_over([1, -1, 3], metric) == 2
    with pytest.raises(Unmeasurable, match="negative"):
        mean_over([-1, -2], metric)
